"""Certificates, revocation lists and their signatures (RFC 5280), as far as time-stamps need them.

Only the algorithms of docs/spec/anchors.md section 5 verify: RSA of 2048 bits
and more and ECDSA on NIST curves, with SHA-2. SM2 is told apart from what is
wrong, but not verified.
"""

import der
from canonical import NotPresent, Refused
from signatures import openssl, pem

RSA, EC, PSS, MGF1 = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
CURVES = {"1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"}  # P-256, P-384, P-521
DIGESTS = {"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512"}
RSA_WITH = {"1.2.840.113549.1.1.11": "sha256", "1.2.840.113549.1.1.12": "sha384", "1.2.840.113549.1.1.13": "sha512"}
ECDSA_WITH = {"1.2.840.10045.4.3.2": "sha256", "1.2.840.10045.4.3.3": "sha384", "1.2.840.10045.4.3.4": "sha512"}
CHINA = "1.2.156.10197."  # where the algorithms of the SM series and the types of GM/T 0010 stand
MIN_RSA = 2048

BASIC, KEY_USAGE, EXTENDED, REASON = "2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.21"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
DIGITAL_SIGNATURE, NON_REPUDIATION, CERT_SIGN, CRL_SIGN = 0, 1, 5, 6


def algorithm(node, what):
    """(object identifier, parameters or None) of an AlgorithmIdentifier."""
    items = node.items(der.SEQUENCE, what)
    oid = items.next().oid(what)
    parameters = items.next() if items else None
    items.end()
    return oid, parameters


def _plain(parameters):
    if parameters is not None and parameters.tag != der.NULL:
        raise Refused("an algorithm with parameters that it does not have")


def digest_name(node, what):
    oid, parameters = algorithm(node, what)
    if oid.startswith(CHINA):
        raise NotPresent(f"{what}: an algorithm of the SM series, which this verifier does not verify")
    _plain(parameters)
    if oid not in DIGESTS:
        raise Refused(f"{what}: digest {oid}")
    return DIGESTS[oid]


class Key:
    def __init__(self, node, what):
        self.raw = node.raw
        items = node.items(der.SEQUENCE, what)
        self.oid, parameters = algorithm(items.next(), what)
        bits = items.next().bits(what)
        items.end()
        self.sm2 = False
        self.problem = None
        if self.oid == RSA:
            modulus = der.read(bits, what).items(der.SEQUENCE, what).next().number(what)
            if modulus.bit_length() < MIN_RSA:
                self.problem = f"an RSA key of {modulus.bit_length()} bits"
        elif self.oid == EC and parameters is not None and parameters.tag == der.OID:
            curve = parameters.oid(what)
            self.sm2 = curve.startswith(CHINA)
            if curve not in CURVES:
                self.problem = f"a key on the curve {curve}"
        else:
            self.problem = f"a key of the algorithm {self.oid}"

    def verify(self, signed_with, message, sig, digest=None):
        """Why the signature is not this key's over the message, or None.

        signed_with: the AlgorithmIdentifier of the signature; digest: the one
        that a CMS signer states besides.
        """
        what = "a signature"
        oid, parameters = algorithm(signed_with, what)
        if self.sm2 or oid.startswith(CHINA):
            raise NotPresent("a signature with SM2, which this verifier does not verify in time-stamps")
        if self.problem:
            return self.problem
        options = []
        if oid == PSS and self.oid == RSA:
            name, options = _pss(parameters)
        elif self.oid == RSA and oid in RSA_WITH:
            _plain(parameters)
            name = RSA_WITH[oid]
        elif self.oid == RSA and oid == RSA and digest:
            _plain(parameters)
            name = digest
        elif self.oid == EC and oid in ECDSA_WITH:
            _plain(parameters)
            name = ECDSA_WITH[oid]
        else:
            return f"a signature of the algorithm {oid}"
        if digest not in (None, name):
            return f"signed with {name}, and says {digest}"
        ok, said = openssl(["dgst", "-" + name, *options, "-verify", "key", "-signature", "sig", "message"],
                           key=pem("PUBLIC KEY", self.raw), message=message, sig=sig)
        return None if ok and b"Verified OK" in said else "a false signature"


def _pss(parameters):
    """(digest, openssl's options) of RSASSA-PSS-params, none of which may be left to its default of SHA-1."""
    what = "the parameters of PSS"
    if parameters is None:
        raise Refused(f"{what}: are missing")
    items = parameters.items(der.SEQUENCE, what)
    name = digest_name(items.next().one(0xA0, what), what)
    mask, inner = algorithm(items.next().one(0xA1, what), what)
    if mask != MGF1 or inner is None or digest_name(inner, what) != name:
        raise Refused(f"{what}: another mask than MGF1 with the same digest")
    salt = items.next().one(0xA2, what).number(what)
    trailer = items.optional(0xA3)
    items.end()
    if not 0 <= salt <= 512 or trailer and trailer.inner[0].number(what) != 1:
        raise Refused(f"{what}: an impossible salt or trailer")
    return name, ["-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}", "-sigopt", f"rsa_mgf1_md:{name}"]


def extensions(node, what):
    """object identifier -> (critical, bytes)"""
    out = {}
    for e in node.items(der.SEQUENCE, what).nodes:
        items = e.items(der.SEQUENCE, what)
        oid = items.next().oid(what)
        critical = items.optional(der.BOOLEAN)
        if oid in out:
            raise Refused(f"{what}: {oid} stands there twice")
        out[oid] = critical is not None and critical.body == b"\xff", items.next().octets(what)
        items.end()
    return out


class Certificate:
    def __init__(self, raw, what):
        self.raw = raw
        outer = der.read(raw, what).items(der.SEQUENCE, what)
        tbs = outer.next()
        self.tbs, self.signed_with, self.sig = tbs.raw, outer.next(), outer.next().bits(what)
        outer.end()
        items = tbs.items(der.SEQUENCE, what)
        items.optional(0xA0)
        self.serial = items.next().number(what)
        if items.next().raw != self.signed_with.raw:
            raise Refused(f"{what}: states two algorithms")
        self.issuer = items.next().need(der.SEQUENCE, what).raw
        validity = items.next().items(der.SEQUENCE, what)
        self.not_before, self.not_after = der.time(validity.next(), what), der.time(validity.next(), what)
        validity.end()
        self.subject = items.next().need(der.SEQUENCE, what).raw
        self.key = Key(items.next(), what)
        for tag in (0x81, 0x82, 0xA1, 0xA2):
            items.optional(tag)
        last = items.optional(0xA3)
        items.end()
        self.extensions = extensions(last.inner[0], what) if last and last.inner else {}

    def is_ca(self):
        if BASIC not in self.extensions:
            return False
        first = der.read(self.extensions[BASIC][1], "basic constraints").items(der.SEQUENCE, "basic constraints").optional(der.BOOLEAN)
        return first is not None and first.body == b"\xff" and self.may(CERT_SIGN)

    def usages(self):
        """The bits of its key usage, or None where it states none."""
        if KEY_USAGE not in self.extensions:
            return None
        body = der.read(self.extensions[KEY_USAGE][1], "key usage").need(der.BITS, "key usage").body
        return {8 * i + bit for i, b in enumerate(body[1:]) for bit in range(8) if b & 0x80 >> bit}

    def may(self, usage):
        usages = self.usages()
        return usages is None or usage in usages

    def not_for_stamps(self):
        """Why it is no time-stamp authority's own certificate, or None."""
        critical, value = self.extensions.get(EXTENDED, (False, None))
        if value is None:
            return "no extended key usage"
        purposes = [n.oid("extended key usage") for n in der.read(value, "extended key usage").items(der.SEQUENCE, "extended key usage").nodes]
        if not critical or purposes != [TIME_STAMPING]:
            return "an extended key usage that is not time-stamping, critical and alone"
        usages = self.usages()
        if usages is not None and (not usages or usages - {DIGITAL_SIGNATURE, NON_REPUDIATION}):
            return "a key usage that is not for signatures alone"
        basic = BASIC in self.extensions and der.read(self.extensions[BASIC][1], "basic constraints").items(
            der.SEQUENCE, "basic constraints").optional(der.BOOLEAN)
        return "the certificate of a CA" if basic and basic.body == b"\xff" else None

    def valid_at(self, time):
        return self.not_before <= time <= self.not_after

    def pem(self):
        return pem("CERTIFICATE", self.raw)


def chain(leaf, pool, roots, time, depth=8):
    """From the leaf to a pinned certificate, all valid at the time; or None."""
    if not leaf.valid_at(time):
        return None
    if leaf.raw in {r.raw for r in roots}:
        return [leaf]
    for issuer in roots + pool if depth else ():
        if issuer.subject != leaf.issuer or issuer.raw == leaf.raw or not issuer.is_ca():
            continue
        if issuer.key.verify(leaf.signed_with, leaf.tbs, leaf.sig) is None:
            above = chain(issuer, pool, roots, time, depth - 1)
            if above:
                return [leaf, *above]
    return None


class RevocationList:
    def __init__(self, raw, what):
        outer = der.read(raw, what).items(der.SEQUENCE, what)
        tbs = outer.next()
        self.tbs, self.signed_with, self.sig = tbs.raw, outer.next(), outer.next().bits(what)
        outer.end()
        items = tbs.items(der.SEQUENCE, what)
        items.optional(der.INTEGER)
        if items.next().raw != self.signed_with.raw:
            raise Refused(f"{what}: states two algorithms")
        self.issuer = items.next().need(der.SEQUENCE, what).raw
        der.time(items.next(), what)
        if items.nodes and items.nodes[0].tag in (der.UTC_TIME, der.GENERALIZED_TIME):
            der.time(items.next(), what)
        self.revoked = []  # (serial number, time, reason or None)
        entries = items.optional(der.SEQUENCE)
        items.optional(0xA0)
        items.end()
        for entry in entries.inner if entries else ():
            parts = entry.items(der.SEQUENCE, what)
            serial, at = parts.next().number(what), der.time(parts.next(), what)
            more = extensions(parts.next(), what) if parts else {}
            parts.end()
            reason = None
            if REASON in more:
                reason = der.read(more[REASON][1], what).need(der.ENUMERATED, what).body[0]
            self.revoked.append((serial, at, reason))
