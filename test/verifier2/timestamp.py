"""RFC 3161 time-stamp tokens (docs/spec/anchors.md section 5).

openssl is asked three times: for the signature over the signed attributes, for
the chain of certificates at the token's own time, and, by `openssl ts -verify`,
for the token as a whole. What it does not look at is looked at here: the form,
one signer, the attributes, the algorithms, the revocation lists. Tokens with
SM2 are not verified; they raise NotPresent.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction

import der
import digests
import x509
from canonical import NotPresent, Refused
from signatures import openssl

SIGNED_DATA, GM_SIGNED_DATA = "1.2.840.113549.1.7.2", "1.2.156.10197.6.1.4.2.2"
TST_INFO = "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
ESS, ESS_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
SM3 = "1.2.156.10197.1.401"
HOUR = 3600
LEAVES_EARLIER_VALID = {0, 3, 4, 5}  # unspecified, affiliation changed, superseded, cessation of operation


@dataclass
class Info:
    """TSTInfo."""
    imprint: tuple  # (object identifier of the digest, digest)
    time: Fraction  # seconds since 1970
    accuracy: Fraction


def _info(raw):
    what = "TSTInfo"
    items = der.read(raw, what).items(der.SEQUENCE, what)
    if items.next().number(what) != 1:
        raise Refused("TSTInfo: not of version 1")
    items.next().oid(what)
    imprint = items.next().items(der.SEQUENCE, what)
    (oid, parameters), digest = x509.algorithm(imprint.next(), what), imprint.next().octets(what)
    imprint.end()
    if parameters is not None and parameters.tag != der.NULL:
        raise Refused("TSTInfo: a digest with parameters")
    items.next().number(what)
    stated = items.next()
    if stated.tag != der.GENERALIZED_TIME:
        raise Refused("TSTInfo: no GeneralizedTime")
    time, accuracy = der.time(stated, what), Fraction(0)
    part = items.optional(der.SEQUENCE)
    if part:
        accuracy = _accuracy(part.items(der.SEQUENCE, what))
    for tag in (der.BOOLEAN, der.INTEGER, 0xA0):
        items.optional(tag)
    last = items.optional(0xA1)
    items.end()
    if last:
        for e in last.inner:
            if any(n.tag == der.BOOLEAN and n.body == b"\xff" for n in e.inner):
                raise Refused("TSTInfo: a critical extension")
    return Info((oid, digest), time, accuracy)


def _accuracy(items):
    out = Fraction(0)
    for tag, unit, limit in ((der.INTEGER, 1, None), (0x80, 1000, 999), (0x81, 1000000, 999)):
        node = items.optional(tag)
        if node:
            n = int.from_bytes(node.body, "big", signed=True)
            if not node.body or n < 0 or tag != der.INTEGER and not 1 <= n <= limit:
                raise Refused("TSTInfo: an impossible accuracy")
            out += Fraction(n, unit)
    items.end()
    if out > HOUR:
        raise Refused("TSTInfo: an accuracy of more than an hour")
    return out


def _check_imprint(imprint, data):
    oid, digest = imprint
    if oid == SM3:
        have = digests.sm3(data)
    elif oid in x509.DIGESTS:
        have = hashlib.new(x509.DIGESTS[oid], data).digest()
    else:
        raise Refused(f"the imprint is by another digest: {oid}")
    if have != digest:
        raise Refused("the token is of other bytes")


class Token:
    def __init__(self, raw):
        what = "token"
        outer = der.read(raw, what).items(der.SEQUENCE, what)
        kind = outer.next().oid(what)
        if kind == GM_SIGNED_DATA:
            raise NotPresent("a token of GM/T 0010, which this verifier does not verify")
        if kind != SIGNED_DATA:
            raise Refused("token: no SignedData")
        data = outer.next().one(0xA0, what).items(der.SEQUENCE, what)
        outer.end()
        version = data.next().number(what)
        self.digest_algorithms = data.next().need(der.SET, what)
        content = data.next().items(der.SEQUENCE, what)
        if version != 3 or content.next().oid(what) != TST_INFO:
            raise Refused("token: not of version 3, or no TSTInfo")
        self.content = content.next().one(0xA0, what).octets(what)
        content.end()
        certificates, lists = data.optional(0xA0), data.optional(0xA1)
        self.certificates = [n.need(der.SEQUENCE, what).raw for n in (certificates.inner if certificates else ())]
        self.lists = [n.need(der.SEQUENCE, what).raw for n in (lists.inner if lists else ())]
        signer = data.next().one(der.SET, "token's signers").items(der.SEQUENCE, what)
        data.end()
        self._signer(signer)
        self.info = _info(self.content)

    def _signer(self, items):
        what = "token's signer"
        version, sid = items.next().number(what), items.next()
        self.digest = x509.digest_name(items.next(), what)
        attributes = items.next().need(0xA0, what)
        self.signed_with, self.sig = items.next(), items.next().octets(what)
        items.optional(0xA1)
        items.end()
        if version != 1:
            raise Refused(f"{what}: version {version}")
        name = sid.items(der.SEQUENCE, what)
        self.signer = name.next().need(der.SEQUENCE, what).raw, name.next().number(what)
        name.end()
        self.attributes = {}
        for a in attributes.inner:
            parts = a.items(der.SEQUENCE, what)
            oid, values = parts.next().oid(what), parts.next().need(der.SET, what)
            parts.end()
            if oid in self.attributes:
                raise Refused(f"{what}: attribute {oid} stands there twice")
            self.attributes[oid] = values.inner
        self.attributes_raw = b"\x31" + attributes.raw[1:]

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
            name = "sha1"
            if oid == ESS_V2:
                stated = first.optional(der.SEQUENCE)
                name = x509.digest_name(stated, what) if stated else "sha256"
            if first.next().octets(what) != hashlib.new(name, certificate.raw).digest():
                return False
            serial = first.optional(der.SEQUENCE)
            first.end()
            if serial and not _is_issuer_serial(serial, certificate):
                return False
        return bool(found)


def _is_issuer_serial(node, certificate):
    what = "signing certificate"
    items = node.items(der.SEQUENCE, what)
    name, number = items.next().one(der.SEQUENCE, what).one(0xA4, what), items.next().number(what)
    items.end()
    return (name.raw, number) == (certificate.issuer, certificate.serial)


def verify(raw, data, pinned):
    """(Info, whether lists were there) of a token over the data, under pinned certificates (x509.Certificate)."""
    token = Token(raw)
    _check_imprint(token.info.imprint, data)
    if token.attribute(CONTENT_TYPE, "the content type").oid("content type") != TST_INFO:
        raise Refused("token: the signed content type is another")
    if token.attribute(MESSAGE_DIGEST, "the message digest").octets("message digest") != hashlib.new(token.digest, token.content).digest():
        raise Refused("token: TSTInfo is not what was signed")
    pool = [x509.Certificate(c, "certificate in the token") for c in token.certificates]
    signer = next((c for c in pool + pinned if (c.issuer, c.serial) == token.signer and token.names(c)), None)
    if signer is None:
        raise Refused("token: the signer's certificate is not there, or not the one that was signed")
    problem = signer.key.verify(token.signed_with, token.attributes_raw, token.sig, token.digest) or signer.not_for_stamps()
    if problem:
        raise Refused(f"token: {problem}")
    chain = x509.chain(signer, pool, pinned, token.info.time)
    if chain is None:
        raise Refused("token: no chain leads to a pinned certificate that is valid at the token's time")
    _ask_openssl(raw, data, chain, token)
    _check_lists(token, chain)
    return token.info, bool(token.lists)


def _ask_openssl(raw, data, chain, token):
    """The chain that was found, and the token under it, by openssl."""
    files = {"root": chain[-1].pem(), "others": b"".join(c.pem() for c in chain[:-1] or chain), "signer": chain[0].pem()}
    how = ["-CAfile", "root", "-untrusted", "others", "-partial_chain", "-auth_level", "2", "-attime", str(int(token.info.time // 1))]
    ok, said = openssl(["verify", "-purpose", "timestampsign", "-no-CApath", "-no-CAstore", *how, "signer"], **files)
    if not ok:
        raise Refused("token: the chain of certificates, says openssl: " + _last(said))
    if x509.algorithm(token.signed_with, "token")[0] == x509.PSS:
        return  # openssl ts knows no PSS; the signature was verified by itself
    ok, said = openssl(["ts", "-verify", "-data", "data", "-in", "token", "-token_in", *how], data=data, token=raw, **files)
    if not ok or b"Verification: OK" not in said:
        raise Refused("token: openssl ts: " + _last(said))


def _last(said):
    return said.decode("utf-8", "replace").strip().replace("\n", "; ")[-300:]


def _check_lists(token, chain):
    """Refused where a list is not a CA's of the chain, NotPresent where one says that a certificate was revoked."""
    issuers = [i for c, i in zip(chain, chain[1:] + chain[-1:]) if c.issuer == i.subject and i.is_ca()]
    lists = [x509.RevocationList(raw, "revocation list") for raw in token.lists]
    for found in lists:
        if not any(i.subject == found.issuer and i.may(x509.CRL_SIGN) and i.key.verify(found.signed_with, found.tbs, found.sig) is None
                   for i in issuers):
            raise Refused("token: a revocation list that no issuer of the chain signed")
    for found in lists:
        revoked = {serial: (at, reason) for serial, at, reason in found.revoked}
        for c in chain:
            if c.issuer == found.issuer and c.serial in revoked:
                at, reason = revoked[c.serial]
                if at <= token.info.time or reason not in LEAVES_EARLIER_VALID:
                    raise NotPresent("a revocation list in the token says that a certificate of its chain was revoked")
