"""RFC 3161 time-stamp tokens (docs/spec/anchors.md section 5).

openssl is asked three times: for the signature over the signed attributes, for
the chain of certificates at the token's own time, and, by `openssl ts -verify`,
for the token as a whole. What it does not look at is looked at here: the form,
one signer, the attributes, the algorithms, the revocation lists. Tokens with
SM2 are not verified; they raise NotPresent.
"""

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction

import der
import x509
from canonical import NotPresent, Refused
from der import Items
from signatures import openssl

SIGNED_DATA, GM_SIGNED_DATA = "1.2.840.113549.1.7.2", "1.2.156.10197.6.1.4.2.2"
TST_INFO = "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
ESS, ESS_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
HOUR, NANO = 3600, 10**9
MAX_CERTIFICATES, MAX_LISTS, MAX_LIST, MAX_ATTRIBUTES, MAX_DIGESTS, MAX_EXTENSIONS = 8, 4, 12288, 16, 4, 16
MAX_SERIAL, MAX_NONCE, MAX_TIME = 21, 64, 40  # bytes
LEAVES_EARLIER_VALID = {0, 3, 4, 5}  # unspecified, affiliation changed, superseded, cessation of operation


@dataclass
class Info:
    """TSTInfo."""
    imprint: tuple  # (name of the digest, digest)
    time: Fraction  # seconds since 1970
    accuracy: Fraction
    tsa: object     # a GeneralName, or None


def _info(raw):
    what = "TSTInfo"
    items = der.read(raw, what).items(der.SEQUENCE, what)
    if items.next().number(what) != 1:
        raise Refused("TSTInfo: not of version 1")
    items.next().oid(what)
    imprint = items.next().items(der.SEQUENCE, what)
    name, value = x509.digest_name(imprint.next(), what), imprint.next().octets(what)
    imprint.end()
    serial, stated = items.next().need(der.INTEGER, what), items.next().need(der.GENERALIZED_TIME, what)
    time, accuracy = Fraction(der.time(stated, what) * NANO // 1, NANO), Fraction(0)
    part = items.optional(der.SEQUENCE)
    if part:
        accuracy = _accuracy(part.items(der.SEQUENCE, what))
    items.optional(der.BOOLEAN)
    nonce, tsa, last = items.optional(der.INTEGER), items.optional(0xA0), items.optional(0xA1)
    items.end()
    if len(serial.body) > MAX_SERIAL or nonce and len(nonce.body) > MAX_NONCE or len(stated.body) > MAX_TIME:
        raise Refused("TSTInfo: a number or time that is too long")
    if last:
        more = last.inner
        if not 1 <= len(more) <= MAX_EXTENSIONS or any(critical for critical, _ in x509.extensions(_as_sequence(last), what).values()):
            raise Refused("TSTInfo: a critical extension, none or too many")
    return Info((name, value), time, accuracy, Items(tsa.inner, what).only() if tsa else None)


def _as_sequence(node):
    """A SEQUENCE OF under an implicit tag."""
    return replace(node, tag=der.SEQUENCE)


def _accuracy(items):
    out = Fraction(0)
    for tag, unit, limit in ((der.INTEGER, 1, HOUR), (0x80, 1000, 999), (0x81, 1000000, 999)):
        node = items.optional(tag)
        if node:
            n = replace(node, tag=der.INTEGER).number("accuracy")
            if tag != der.INTEGER:
                der.check(der.INTEGER, node.body, "accuracy")  # it stands under an implicit tag
            if not (tag != der.INTEGER) <= n <= limit:
                raise Refused("TSTInfo: an impossible accuracy, or one of more than an hour")
            out += Fraction(n, unit)
    items.end()
    return out


class Token:
    def __init__(self, raw):
        what = "token"
        outer = der.read(raw, what).items(der.SEQUENCE, what)
        kind = outer.next().oid(what)
        if kind not in (SIGNED_DATA, GM_SIGNED_DATA):
            raise Refused("token: no SignedData")
        self.gm = kind == GM_SIGNED_DATA
        data = outer.next().one(0xA0, what).items(der.SEQUENCE, what)
        outer.end()
        version = data.next().number(what)
        if version != 3 and not (self.gm and version == 1):
            raise Refused(f"token: of version {version}")
        digests = [x509.digest_name(n, what) for n in data.next().items(der.SET, what).nodes]
        content = data.next().items(der.SEQUENCE, what)
        if content.next().oid(what) != TST_INFO:
            raise Refused("token: no TSTInfo")
        self.content = content.next().one(0xA0, what).octets(what)
        content.end()
        certificates, lists = data.optional(0xA0), data.optional(0xA1)
        self.certificates = [n.need(der.SEQUENCE, what).raw for n in (certificates.inner if certificates else ())]
        self.lists = [n.need(der.SEQUENCE, what).raw for n in (lists.inner if lists else ())]
        if len(self.certificates) > MAX_CERTIFICATES or len(self.lists) > MAX_LISTS or lists and not self.lists:
            raise Refused("token: too many certificates or lists, or an empty field of lists")
        if any(len(raw) > MAX_LIST for raw in self.lists):
            raise Refused(f"token: a list of more than {MAX_LIST} bytes")
        signer = data.next().one(der.SET, "token's signers").items(der.SEQUENCE, what)
        data.end()
        self._signer(signer)
        if self.digest not in digests or len(digests) > MAX_DIGESTS:
            raise Refused("token: the signer's digest does not stand in front, or too many do")
        self.info = _info(self.content)

    def _signer(self, items):
        what = "token's signer"
        version, sid = items.next().number(what), items.next()
        self.digest = x509.digest_name(items.next(), what)
        attributes = items.next().need(0xA0, what)
        self.signed_with, self.sig = items.next(), items.next().octets(what)
        unsigned = items.optional(0xA1)
        items.end()
        self.key_id = sid.body if sid.tag == 0x80 else None
        if version != (1 if self.key_id is None else 3):
            raise Refused(f"{what}: version {version}")
        if self.key_id is None:
            name = sid.items(der.SEQUENCE, what)
            self.name = name.next().need(der.SEQUENCE, what).raw, name.next().number(what)
            name.end()
        self.attributes = _attributes(attributes, what)
        if unsigned:
            _attributes(unsigned, what)
        self.attributes_raw = b"\x31" + attributes.raw[1:]

    def signer(self, certificates):
        """The one certificate that the token says is the signer's."""
        found = {}
        for c in certificates:
            if self.key_id is None:
                match = (c.issuer, c.serial) == self.name
            else:
                match = c.key_id == self.key_id
            if match:
                found[c.raw] = c
        if len(found) != 1:
            raise Refused(f"token: {len(found)} certificates could be the signer's")
        return next(iter(found.values()))

    def attribute(self, oid, what):
        values = self.attributes.get(oid, ())
        if len(values) != 1:
            raise Refused(f"token: {what} is missing, or has several values")
        return values[0]

    def names(self, certificate):
        """Whether the attribute for it names the signer's certificate."""
        what = "signing certificate"
        found = [v for v in (ESS, ESS_V2) if v in self.attributes]
        for oid in found:
            first = self.attribute(oid, what).items(der.SEQUENCE, what).next().items(der.SEQUENCE, what).next().items(der.SEQUENCE, what)
            have = hashlib.sha1(certificate.raw).digest()
            if oid == ESS_V2:
                stated = first.optional(der.SEQUENCE)
                have = x509.digest(x509.digest_name(stated, what) if stated else "sha256", certificate.raw)
            if first.next().octets(what) != have:
                return False
            serial = first.optional(der.SEQUENCE)
            first.end()
            if serial and not _is_issuer_serial(serial, certificate):
                return False
        return bool(found)


def _attributes(node, what):
    """object identifier -> values"""
    out = {}
    for a in node.inner:
        parts = a.items(der.SEQUENCE, what)
        oid, values = parts.next().oid(what), parts.next().need(der.SET, what)
        parts.end()
        if oid in out:
            raise Refused(f"{what}: attribute {oid} stands there twice")
        out[oid] = values.inner
    if not 1 <= len(out) <= MAX_ATTRIBUTES:
        raise Refused(f"{what}: no attributes, or more than {MAX_ATTRIBUTES}")
    return out


def _is_issuer_serial(node, certificate):
    what = "signing certificate"
    items = node.items(der.SEQUENCE, what)
    name, number = items.next().one(der.SEQUENCE, what).one(0xA4, what), items.next().number(what)
    items.end()
    return (name.raw, number) == (certificate.issuer, certificate.serial)


def verify(raw, data, pinned):
    """(Info, whether lists were there) of a token over the data, under pinned certificates (x509.Certificate)."""
    token = Token(raw)
    name, imprint = token.info.imprint
    if x509.digest(name, data) != imprint:
        raise Refused("the token is of other bytes")
    pool = [x509.Certificate(c, "certificate in the token") for c in token.certificates]
    pool = [c for c in pool if c.taken()]
    signer = token.signer(pool + pinned)
    problem = signer.not_for_stamps()
    if problem is None and token.info.tsa and not signer.is_called(token.info.tsa):
        problem = "the token names another authority than its certificate"
    if token.attribute(CONTENT_TYPE, "the content type").oid("content type") != TST_INFO:
        problem = "the signed content type is another"
    if token.attribute(MESSAGE_DIGEST, "the message digest").octets("message digest") != x509.digest(token.digest, token.content):
        problem = "TSTInfo is not what was signed"
    if not token.names(signer):
        problem = "the signed attributes do not name the signer's certificate"
    problem = problem or signer.key.verify(token.signed_with, token.attributes_raw, token.sig, token.digest)
    if problem is None and token.gm:
        problem = "under the content type of GM/T 0010, and not signed with SM2"
    if problem:
        raise Refused(f"token: {problem}")
    chain, problem = None, "no chain leads to a pinned certificate that is valid at the token's time"
    for found in x509.chains(signer, pool, pinned, token.info.time):
        problem = _chain_problem(found, token)
        if problem is None:
            chain = found
            break
    if chain is None:
        raise Refused(f"token: {problem}")
    _ask_openssl(raw, data, chain, token)
    _check_lists(token, chain)
    return token.info, bool(token.lists)


def _how(chain, token):
    """openssl's options for a chain, and the files that they name."""
    files = {"root": chain[-1].pem(), "others": b"".join(c.pem() for c in chain[:-1] or chain), "signer": chain[0].pem()}
    how = ["-CAfile", "root", "-untrusted", "others", "-partial_chain", "-auth_level", "2", "-attime", str(int(token.info.time // 1))]
    return how, files


def _chain_problem(chain, token):
    """Why openssl refuses the chain at the token's time, or None: names, lengths, critical extensions, what else RFC 5280 asks."""
    how, files = _how(chain, token)
    ok, said = openssl(["verify", "-purpose", "timestampsign", "-no-CApath", "-no-CAstore", *how, "signer"], **files)
    return None if ok else "the chain of certificates, says openssl: " + _last(said)


def _ask_openssl(raw, data, chain, token):
    """The token as a whole, by openssl ts: which knows neither PSS nor signers that are named by their keys."""
    if x509.algorithm(token.signed_with, "token")[0] == x509.PSS or token.key_id is not None:
        return  # the signature and the chain were verified by themselves
    how, files = _how(chain, token)
    ok, said = openssl(["ts", "-verify", "-data", "data", "-in", "token", "-token_in", *how], data=data, token=raw, **files)
    if not ok or b"Verification: OK" not in said:
        raise Refused("token: openssl ts: " + _last(said))


def _last(said):
    return said.decode("utf-8", "replace").strip().replace("\n", "; ")[-300:]


def _check_lists(token, chain):
    """Of the lists in their order: Refused where one is not to be used, NotPresent where one says that a certificate was revoked."""
    for raw in token.lists:
        found = x509.RevocationList(raw)
        about = next(((c, i) for c, i in zip(chain, chain[1:]) if i.subject == found.issuer), None)
        problem = found.problem(*about) if about else "of an issuer that is not in the chain"
        if problem:
            raise Refused(f"token: a revocation list: {problem}")
        if found.is_revoked(about[0], token.info.time, LEAVES_EARLIER_VALID):
            raise NotPresent("a revocation list in the token says that a certificate of its chain was revoked")
