"""Pinned channels of Fabric: what their organisations are, and who is an identity of one (docs/spec/anchors.md sections 3 and 7).

No receipt is verified here; a channel by which none could verify is refused.
"""

import der
import x509
from canonical import NotPresent, Refused

ROLES = {b"admin", b"client", b"orderer", b"peer"}
ORGANISATIONAL_UNIT = "2.5.4.11"


def check(channel):
    """Refuse a channel, as it stands in the anchor roots, by which no receipt could verify."""
    at = f"anchor roots: the channel {channel['name']}"
    orderers = channel["orderers"]
    consenters, signatures = orderers["consenters"], orderers["signatures"]
    if channel["endorsements"] > len(channel["organisations"]):
        raise Refused(f"{at} asks for more endorsements than it has organisations")
    n = len(consenters)
    f = (n - 1) // 3
    if n == 0 and signatures != 1 or n and not (n + f + 2) // 2 <= signatures <= n:
        raise Refused(f"{at} asks for an impossible number of orderers' signatures")
    _check_issuers(channel["organisations"], at)
    _check_issuers(orderers["organisations"], at)
    if len({c["id"] for c in consenters}) != n or len({c["certificate"].key.raw for c in consenters}) != n:
        raise Refused(f"{at} has a consenter twice")
    organisations = {o["msp"]: o for o in orderers["organisations"]}
    for c in consenters:
        if c["msp"] not in organisations:
            raise Refused(f"{at} has a consenter of an organisation that is not pinned")
        if not is_identity(c["certificate"], organisations[c["msp"]], b"orderer"):
            raise Refused(f"{at}: the certificate of consenter {c['id']} is no orderer's of {c['msp']}")


def _signed(certificate, by):
    try:
        return by.signs(x509.CERT_SIGN) and by.key.verify(certificate.signed_with, certificate.tbs, certificate.sig) is None
    except NotPresent:
        return False  # SM2, which Fabric's certificates do not have


def _issued(certificate, by):
    return certificate.issuer == by.subject and _signed(certificate, by)


def _issuers(organisation):
    """The CAs that issue identities: those that issued no other CA of the organisation."""
    every = organisation["roots"] + organisation["intermediates"]
    return [ca for ca in every if not any(_issued(child, ca) for child in organisation["intermediates"])]


def _revoked(organisation):
    return [int(s, 16) for s in organisation.get("revoked", ())]


def _check_issuers(organisations, at):
    owner = {}
    for o in organisations:
        serials = _revoked(o)
        if any(a >= b for a, b in zip(serials, serials[1:])) or any(ca.serial in serials for ca in o["intermediates"]):
            raise Refused(f"{at}: the revoked serial numbers of {o['msp']} do not rise, or have one of its intermediate CAs")
        for ca in _issuers(o):
            if owner.setdefault(ca.key.raw, o["msp"]) != o["msp"]:
                raise Refused(f"{at}: one CA issues the identities of {owner[ca.key.raw]} and of {o['msp']}")


def is_identity(certificate, organisation, role):
    """Whether it is one of the organisation with a role, at the middle of its own validity."""
    if certificate.is_ca() and x509.BASIC in certificate.extensions or certificate.serial in _revoked(organisation):
        return False
    time = certificate.not_before + (certificate.not_after - certificate.not_before) // 2
    roots, issuers = organisation["roots"], _issuers(organisation)

    def leads(path):
        if not path[-1].valid_at(time):
            return False
        if path[-1] in roots:
            return True
        above = issuers if len(path) == 1 else roots + organisation["intermediates"]
        return any(_issued(path[-1], ca) and leads([*path, ca]) for ca in above if ca not in path)

    if not leads([certificate]):
        return False
    return not organisation["node_ous"] or [u for u in _units(certificate) if u in ROLES] == [role]


def _units(certificate):
    out = []
    for part in der.read(certificate.subject, "subject").inner:
        for pair in part.inner:
            if pair.inner[0].oid("subject") == ORGANISATIONAL_UNIT:
                out.append(pair.inner[1].body)
    return out
