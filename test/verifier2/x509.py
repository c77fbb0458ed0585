"""Certificates, revocation lists and their signatures (RFC 5280), as far as time-stamps need them.

Only the algorithms of docs/spec/anchors.md section 5 verify: RSA of 2048 bits
and more and ECDSA on NIST curves, with SHA-2. SM2 is told apart from what is
wrong, but not verified.
"""

import functools
import hashlib
import itertools
import re

import der
import digests
import sm2
from canonical import NotPresent, Refused
from signatures import openssl, pem

RSA, EC, PSS, MGF1 = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
# P-256, P-384, P-521 and SM2: of each the prime and b; a is -3.
CURVES = {
    "1.2.840.10045.3.1.7": (2**256 - 2**224 + 2**192 + 2**96 - 1, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B),
    "1.3.132.0.34": (2**384 - 2**128 - 2**96 + 2**32 - 1,
                     0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF),
    "1.3.132.0.35": (2**521 - 1, 0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00),
    "1.2.156.10197.1.301": (sm2.P, sm2.B),
}
DIGESTS = {"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512"}
RSA_WITH = {"1.2.840.113549.1.1.11": "sha256", "1.2.840.113549.1.1.12": "sha384", "1.2.840.113549.1.1.13": "sha512"}
ECDSA_WITH = {"1.2.840.10045.4.3.2": "sha256", "1.2.840.10045.4.3.3": "sha384", "1.2.840.10045.4.3.4": "sha512"}
CHINA = "1.2.156.10197."  # where the algorithms of the SM series and the types of GM/T 0010 stand
SM2_CURVE, SM3 = CHINA + "1.301", CHINA + "1.401"
SIGNATURES = {PSS, CHINA + "1.501"} | RSA_WITH.keys() | ECDSA_WITH.keys()  # of certificates
P224 = "1.3.132.0.33"
MIN_RSA, MAX_RSA = 2048, 8192

BASIC, KEY_USAGE, EXTENDED, ALTERNATIVE = "2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"
POINTS, ISSUING_POINT, REASON, INVALID_SINCE = "2.5.29.31", "2.5.29.28", "2.5.29.21", "2.5.29.24"
KEY_IDENTIFIER = "2.5.29.14"
TIME_STAMPING, ANY_PURPOSE = "1.3.6.1.5.5.7.3.8", "2.5.29.37.0"
DIGITAL_SIGNATURE, NON_REPUDIATION, CERT_SIGN, CRL_SIGN = 0, 1, 5, 6
MAX_CHAINS, MAX_ENTRIES = 16, 1024
TRUE = b"\xff"
UTF8 = 12
# The kinds of strings in names: UTF8, Numeric, Printable (with & and *, as CAs use them), Teletex, IA5, BMP.
STRINGS = {UTF8: rb".*", 18: rb"[0-9 ]*", 19: rb"[A-Za-z0-9 '()+,\-./:=?&*]*", 20: rb".*", 22: rb"[\x00-\x7f]*", 30: rb"(..)*"}


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
    _plain(parameters)
    if oid not in DIGESTS and oid != SM3:
        raise Refused(f"{what}: digest {oid}")
    return DIGESTS.get(oid, "sm3")


def digest(name, data):
    return digests.sm3(data) if name == "sm3" else hashlib.new(name, data).digest()


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
            numbers = der.read(bits, what).items(der.SEQUENCE, what)
            modulus, exponent = numbers.next().number(what), numbers.next().number(what)
            numbers.end()
            _plain(parameters)
            if modulus <= 0 or exponent <= 0:
                raise Refused(f"{what}: an impossible RSA key")
            if not MIN_RSA <= modulus.bit_length() <= MAX_RSA:
                self.problem = f"an RSA key of {modulus.bit_length()} bits"
        elif self.oid == EC and parameters is not None and parameters.tag == der.OID:
            curve = parameters.oid(what)
            self.sm2 = curve == SM2_CURVE
            if curve == P224:
                self.problem = "a key on P-224"
            elif curve not in CURVES:
                raise Refused(f"{what}: a key on the curve {curve}")
            elif not _on_curve(bits, *CURVES[curve]):
                raise Refused(f"{what}: its key is no point of the curve")
        else:
            self.problem = f"a key of the algorithm {self.oid}"

    def verify(self, signed_with, message, sig, digest=None):
        """Why the signature is not this key's over the message, or None.

        signed_with: the AlgorithmIdentifier of the signature; digest: the one
        that a CMS signer states besides.
        """
        what = "a signature"
        oid, parameters = algorithm(signed_with, what)
        if self.problem:
            return self.problem
        if self.sm2:
            raise NotPresent("a signature with SM2, which this verifier does not verify in time-stamps")
        options = []
        if oid == PSS and self.oid == RSA:
            name, options = _pss(parameters)
        elif self.oid == RSA and oid in RSA_WITH:
            _plain(parameters)
            name = RSA_WITH[oid]
        elif self.oid == RSA and oid == RSA and digest in DIGESTS.values():
            _plain(parameters)
            name = digest
        elif self.oid == EC and oid in ECDSA_WITH:
            _plain(parameters)
            name = ECDSA_WITH[oid]
        else:
            return f"a signature of the algorithm {oid}"
        if digest not in (None, name):
            return f"signed with {name}, and says {digest}"
        return None if _signed(name, tuple(options), self.raw, message, sig) else "a false signature"


@functools.cache
def _signed(name, options, key, message, sig):
    ok, said = openssl(["dgst", "-" + name, *options, "-verify", "key", "-signature", "sig", "message"],
                       key=pem("PUBLIC KEY", key), message=message, sig=sig)
    return ok and b"Verified OK" in said


def _on_curve(point, p, b):
    size = (p.bit_length() + 7) // 8
    x, y = int.from_bytes(point[1:1 + size], "big"), int.from_bytes(point[1 + size:], "big")
    return point[:1] == b"\x04" and len(point) == 1 + 2 * size and x < p and y < p and (y * y - x * x * x + 3 * x - b) % p == 0


def _pss(parameters):
    """(digest, openssl's options) of RSASSA-PSS-params, none of which may be left to its default of SHA-1."""
    what = "the parameters of PSS"
    if parameters is None:
        raise Refused(f"{what}: are missing")
    items = parameters.items(der.SEQUENCE, what)
    name = digest_name(items.next().one(0xA0, what), what)
    mask, inner = algorithm(items.next().one(0xA1, what), what)
    if mask != MGF1 or inner is None or digest_name(inner, what) != name or name == "sm3":
        raise Refused(f"{what}: another mask than MGF1 with the same digest, of SHA-2")
    salt, trailer = items.optional(0xA2), items.optional(0xA3)
    items.end()
    salt = salt.one(0xA2, what).number(what) if salt else 20
    if not 1 <= salt <= MAX_RSA // 8 or trailer and trailer.one(0xA3, what).number(what) != 1:
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
        out[oid] = critical is not None and critical.body == TRUE, items.next().octets(what)
        items.end()
    return out


def _name(node, what):
    """The bytes of a Name, whose strings can be read."""
    for part in node.items(der.SEQUENCE, what).nodes:
        for pair in part.items(der.SET, what).nodes:
            items = pair.items(der.SEQUENCE, what)
            items.next().oid(what)
            value = items.next()
            items.end()
            if value.tag not in STRINGS or not re.fullmatch(STRINGS[value.tag], value.body, re.DOTALL):
                raise Refused(f"{what}: a name of bytes that are not what they are said to be")
            if value.tag == UTF8 and value.body.decode("utf-8", "replace").encode() != value.body:
                raise Refused(f"{what}: a name that is not UTF-8")
    return node.raw


class Certificate:
    def __init__(self, raw, what):
        self.raw = raw
        outer = der.read(raw, what).items(der.SEQUENCE, what)
        tbs = outer.next()
        self.tbs, self.signed_with, self.sig = tbs.raw, outer.next(), outer.next().bits(what)
        outer.end()
        items = tbs.items(der.SEQUENCE, what)
        version = items.optional(0xA0)
        self.key_id = None
        self.version = version.one(0xA0, what).number(what) + 1 if version else 1
        self.serial = items.next().number(what)
        if items.next().raw != self.signed_with.raw:
            raise Refused(f"{what}: states two algorithms")
        self.issuer = _name(items.next(), what)
        validity = items.next().items(der.SEQUENCE, what)
        self.not_before, self.not_after = der.time(validity.next(), what), der.time(validity.next(), what)
        validity.end()
        self.subject = _name(items.next(), what)
        self.key = Key(items.next(), what)
        for tag in (0x81, 0x82, 0xA1, 0xA2):
            items.optional(tag)
        last = items.optional(0xA3)
        items.end()
        self.extensions = extensions(last.one(0xA3, what), what) if last else {}
        if KEY_IDENTIFIER in self.extensions:
            self.key_id = der.read(self.extensions[KEY_IDENTIFIER][1], what).octets(what)
        self.is_ca(), self.usages(), self.purposes(), self.points()  # what cannot be read is refused now

    def taken(self):
        """Whether its key and its signature are of algorithms that time-stamps may have."""
        return self.key.problem is None and algorithm(self.signed_with, "certificate")[0] in SIGNATURES

    def is_ca(self):
        """By its basic constraints; certificates of version 1 have none."""
        if BASIC not in self.extensions:
            return self.version == 1
        first = der.read(self.extensions[BASIC][1], "basic constraints").items(der.SEQUENCE, "basic constraints").optional(der.BOOLEAN)
        return first is not None and first.body == TRUE

    def signs(self, usage):
        return self.is_ca() and (self.usages() is None or usage in self.usages())

    def purposes(self):
        """The object identifiers of its extended key usage, or None where it states none."""
        if EXTENDED not in self.extensions:
            return None
        what = "extended key usage"
        return [n.oid(what) for n in der.read(self.extensions[EXTENDED][1], what).items(der.SEQUENCE, what).nodes]

    def points(self):
        """The addresses of its revocation lists."""
        what, out = "distribution points", set()
        if POINTS in self.extensions:
            for point in der.read(self.extensions[POINTS][1], what).items(der.SEQUENCE, what).nodes:
                name = point.items(der.SEQUENCE, what).optional(0xA0)
                full = name.one(0xA0, what) if name else None
                out |= {n.body for n in full.inner if n.tag == 0x86} if full and full.tag == 0xA0 else set()
        return out

    def is_called(self, name):
        """Whether a GeneralName (its node) is its subject, or one of its alternative names."""
        if name.tag == 0xA4 and [n.raw for n in name.inner] == [self.subject]:
            return True
        if ALTERNATIVE not in self.extensions:
            return False
        others = der.read(self.extensions[ALTERNATIVE][1], "alternative name").items(der.SEQUENCE, "alternative name").nodes
        return name.raw in [n.raw for n in others]

    def usages(self):
        """The bits of its key usage, or None where it states none."""
        if KEY_USAGE not in self.extensions:
            return None
        body = der.read(self.extensions[KEY_USAGE][1], "key usage").need(der.BITS, "key usage").body
        return {8 * i + bit for i, b in enumerate(body[1:]) for bit in range(8) if b & 0x80 >> bit}

    def not_for_stamps(self):
        """Why it is no time-stamp authority's own certificate, or None."""
        if self.purposes() != [TIME_STAMPING] or not self.extensions[EXTENDED][0]:
            return "an extended key usage that is not time-stamping, critical and alone"
        usages = self.usages()
        if usages is not None and (not usages or usages - {DIGITAL_SIGNATURE, NON_REPUDIATION}):
            return "a key usage that is not for signatures alone"
        return "the certificate of a CA" if BASIC in self.extensions and self.is_ca() else None

    def valid_at(self, time):
        return self.not_before <= time <= self.not_after

    def pem(self):
        return pem("CERTIFICATE", self.raw)


def _issued(certificate, issuer):
    """Whether a CA issued it, for time-stamps among others."""
    if issuer.subject != certificate.issuer or issuer.raw == certificate.raw or not issuer.signs(CERT_SIGN):
        return False
    purposes = issuer.purposes()
    if purposes is not None and not {TIME_STAMPING, ANY_PURPOSE} & set(purposes):
        return False
    return issuer.key.verify(certificate.signed_with, certificate.tbs, certificate.sig) is None


def _below(roots, pool):
    """Of the pool, the CAs that a pinned certificate issued, or one of them.

    No others can stand in a chain; whoever made a token chose how many there are.
    """
    rest = [c for c in pool if BASIC in c.extensions and c.is_ca() and c.raw not in {r.raw for r in roots}]
    out = list(roots)
    for issuer in out:
        for c in [c for c in rest if _issued(c, issuer)]:
            rest.remove(c)
            out.append(c)
    return out[len(roots):]


def chains(leaf, pool, roots, time):
    """The chains from the leaf to a pinned certificate, all valid at the time, no certificate twice."""
    pinned = {r.raw for r in roots}
    authorities = roots + _below(roots, pool)

    def up(path):
        if not path[-1].valid_at(time):
            return
        if path[-1].raw in pinned:
            yield path
            return
        for issuer in authorities:
            if issuer not in path and _issued(path[-1], issuer):
                yield from up([*path, issuer])

    yield from itertools.islice(up([leaf]), MAX_CHAINS)


class RevocationList:
    def __init__(self, raw):
        what = "revocation list"
        outer = der.read(raw, what).items(der.SEQUENCE, what)
        tbs = outer.next()
        self.tbs, self.signed_with, self.sig = tbs.raw, outer.next(), outer.next().bits(what)
        outer.end()
        items = tbs.items(der.SEQUENCE, what)
        if items.next().number(what) != 1 or items.next().raw != self.signed_with.raw:
            raise Refused(f"{what}: not of version 2, or states two algorithms")
        self.issuer = items.next().need(der.SEQUENCE, what).raw
        if der.time(items.next(), what) > der.time(items.next(), what):
            raise Refused(f"{what}: good until before it was made")
        entries = items.optional(der.SEQUENCE)
        last = items.optional(0xA0)
        items.end()
        self.extensions = extensions(last.one(0xA0, what), what) if last else {}
        if entries and len(entries.inner) > MAX_ENTRIES:
            raise Refused(f"{what}: more than {MAX_ENTRIES} entries")
        self.revoked = []  # (serial number, time, extensions)
        for entry in entries.inner if entries else ():
            parts = entry.items(der.SEQUENCE, what)
            serial, at = parts.next().number(what), der.time(parts.next(), what)
            self.revoked.append((serial, at, extensions(parts.next(), what) if parts else {}))
            parts.end()

    def problem(self, certificate, issuer):
        """Why it does not speak of the certificate, or None."""
        if not issuer.signs(CRL_SIGN) or issuer.key.verify(self.signed_with, self.tbs, self.sig):
            return "not signed by the issuer of the certificate"
        if any(critical and oid != ISSUING_POINT for oid, (critical, _) in self.extensions.items()):
            return "a critical extension that is not known"
        if any(critical and oid not in (REASON, INVALID_SINCE) for _, _, more in self.revoked for oid, (critical, _) in more.items()):
            return "an entry with a critical extension that is not known"
        if ISSUING_POINT in self.extensions and not _speaks_of(self.extensions[ISSUING_POINT][1], certificate):
            return "it does not speak of the certificate"
        return None

    def is_revoked(self, certificate, time, harmless):
        """Whether by it a certificate's signatures of a time are worth nothing."""
        for serial, at, more in self.revoked:
            if serial == certificate.serial:
                reason = der.read(more[REASON][1], "reason").need(der.ENUMERATED, "reason").body[0] if REASON in more else None
                since = der.time(der.read(more[INVALID_SINCE][1], "date"), "invalidity date") if INVALID_SINCE in more else at
                if at <= time or since <= time or reason not in harmless:
                    return True
        return False


def _speaks_of(value, certificate):
    """IssuingDistributionPoint: whether a list with it speaks of the certificate."""
    what = "issuing distribution point"
    items = der.read(value, what).items(der.SEQUENCE, what)
    point, users, authorities = (items.optional(tag) for tag in (0xA0, 0x81, 0x82))
    if items or users and (users.body != TRUE or certificate.is_ca()) or authorities and (authorities.body != TRUE or not certificate.is_ca()):
        return False
    if point:
        full = point.one(0xA0, what)
        return full.tag == 0xA0 and bool({n.body for n in full.inner if n.tag == 0x86} & certificate.points())
    return True
