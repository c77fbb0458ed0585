"""Anchors: the files, their verification, the times (docs/spec/anchors.md).

Receipts of kind `fabric` and tokens with SM2 are not verified here: of such an
anchor everything else is, and where nothing is false it is "not present".
"""

from dataclasses import dataclass
from fractions import Fraction

import channels
import digests
import note
import timestamp
import x509
from canonical import (MAX_INT, NotPresent, Refused, array, chain_id, digest_pair, fields, integer, matching, member_id, one_of,
                       read_liberal, string, text)
from signatures import Disagree
from witness import Witness

MAX_IN_FILE, MAX_IN_COMPANION = 8, 32
MAX_COMPANION, MAX_ROOTS = 262144, 524288
MAX_RECEIPT = {"rfc3161": 16384, "fabric": 32768}
BOUND = 60  # seconds that the clocks of honest parties may be apart
PROVED, FAILED, ABSENT = "proved", "failed", "not present"
VERSION = integer(1, 1)


def base64_of(limit):
    """Bytes, at least one, in base64."""
    def check(v, at):
        raw = note.unpad(string(4 * limit)(v, at).encode("ascii", "replace"), at)
        if not 1 <= len(raw) <= limit:
            raise Refused(f"{at}: {len(raw)} bytes, not 1 to {limit}")
        return raw
    return check


# ---- the files --------------------------------------------------------------

_common = dict(checkpoint=text(24576), kind=one_of("fabric", "rfc3161", "witness"), name=member_id, path=array(digest_pair, 0, 54))
_element = {"witness": fields(**_common)} | {kind: fields(**_common, receipt=base64_of(n)) for kind, n in MAX_RECEIPT.items()}


def _one(v, at):
    kind = _common["kind"](v.get("kind") if isinstance(v, dict) else None, at + ".kind")
    return _element[kind](v, at)


def _key(anchor):
    return anchor["kind"], anchor["name"]


def listed(most):
    """A checker of the elements of a file, which rise."""
    each = array(_one, 0, most)

    def check(v, at):
        out = each(v, at)
        for a, b in zip(out, out[1:]):
            if _key(a) >= _key(b):
                raise Refused(f"{at}: {'/'.join(_key(b))} does not come after {'/'.join(_key(a))}")
        return out
    return check


_companion = fields(anchors=listed(MAX_IN_COMPANION), chain=chain_id, type=one_of("qifeng-anchors"), v=VERSION,
                    **{"from": integer(1, MAX_INT)})


def companion(data, proof):
    """The anchors of a companion file, or Refused where it is not this proof's."""
    part = _companion(read_liberal(data, MAX_COMPANION), "companion file")
    if part["chain"] != proof.chain:
        raise Refused(f"companion file: of the chain {part['chain']}, the proof is of {proof.chain}")
    cut = proof.note.rfind(b"\n\n") if proof.sealed else -1
    if cut < 0:
        raise Refused("companion file: the proof has no checkpoint, or one without a body")
    size = note.body(proof.note[:cut + 1])[1]
    if part["from"] != size:
        raise Refused(f"companion file: its paths begin at size {part['from']}, the proof's checkpoint has {size}")
    return part["anchors"]


def together(own, beside):
    """All anchors in the order of a file; the proof's own come before the companion's of the same kind and name."""
    known = {_key(a) for a in own}
    return sorted(own + [a for a in beside if _key(a) not in known], key=_key)


def _boolean(v, at):
    if not isinstance(v, bool):
        raise Refused(f"{at}: neither true nor false")
    return v


def _certificate(limit):
    return lambda v, at: x509.Certificate(base64_of(limit)(v, at), at)


def _ca(v, at):
    certificate = _certificate(16384)(v, at)
    if x509.BASIC not in certificate.extensions or not certificate.is_ca():
        raise Refused(f"{at}: no CA's certificate")
    return certificate


def _stamp_root(v, at):
    certificate = _certificate(8192)(v, at)
    if certificate.key.problem:
        raise Refused(f"{at}: {certificate.key.problem}")
    if not certificate.signs(x509.CERT_SIGN) and certificate.not_for_stamps():
        raise Refused(f"{at}: neither a CA's certificate nor a time-stamp authority's")
    return certificate


def _distinct(inner, low, high, of):
    """A checker of arrays no two elements of which have the same."""
    each = array(inner, low, high)

    def check(v, at):
        out = each(v, at)
        if len({of(e) for e in out}) != len(out):
            raise Refused(f"{at}: one stands there twice")
        return out
    return check


def _raw(certificate):
    return certificate.raw


_msp = string(249, filled=True)
_fabric_name = matching(r"[-_.0-9A-Za-z]{1,249}")
_serial = matching(r"(?!00)([0-9a-f]{2}){1,20}")
_organisation = fields(intermediates=array(_ca, 0, 16), msp=_msp, node_ous=_boolean, revoked_=array(_serial, 1, 4096), roots=array(_ca, 1, 16))
_organisations = _distinct(_organisation, 1, 64, lambda o: o["msp"])
_consenter = fields(certificate=_certificate(16384), id=integer(0, 2**32 - 1), msp=_msp)
_channel = fields(
    chaincode=_fabric_name, channel=_fabric_name, endorsements=integer(1, 64), name=member_id, organisations=_organisations,
    orderers=fields(consenters=array(_consenter, 0, 128), organisations=_organisations, signatures=integer(1, 128)))
_roots = fields(
    chain=chain_id, fabric=array(_channel, 0, 32),
    rfc3161=array(fields(name=member_id, roots=_distinct(_stamp_root, 1, 8, _raw)), 0, 32),
    type=one_of("qifeng-anchor-roots"), v=VERSION,
    witness=array(fields(key=lambda v, at: Witness(string(320)(v, at), at), name=member_id), 0, 32))


class Roots:
    """What is trusted outside the consortium."""

    def __init__(self, data):
        part = _roots(read_liberal(data, MAX_ROOTS), "anchor roots")
        self.chain, self.of, seen = part["chain"], {}, set()
        for kind in ("fabric", "rfc3161", "witness"):
            names = [e["name"] for e in part[kind]]
            if any(a >= b for a, b in zip(names, names[1:])) or seen & set(names):
                raise Refused(f"anchor roots: the names of {kind} do not rise, or one stands in two lists")
            seen |= set(names)
            self.of |= {(kind, e["name"]): e for e in part[kind]}
        for channel in part["fabric"]:
            channels.check(channel)


# ---- verification -----------------------------------------------------------

@dataclass
class Judged:
    kind: str
    name: str
    outcome: str = ABSENT
    detail: str = ""
    size: int = 0
    time: object = None              # seconds since 1970, where it was proved and states one
    accuracy: Fraction = Fraction(0)
    seals: tuple = ()                # times of the seals that count on its note
    disagreed: bool = False

    @property
    def label(self):
        return f"{self.kind}/{self.name}"

    def word(self):
        """By when it says that the record existed, in milliseconds."""
        return _up((self.time + (self.accuracy or 1)) * 1000)

    def report(self):
        out = {"detail": {"en": self.detail}, "kind": self.kind, "name": self.name, "outcome": self.outcome, "size": self.size}
        if self.time is not None:
            out["time"] = int(self.time * 1000 // 1)
            if self.accuracy:
                out["accuracy_ms"] = _up(self.accuracy * 1000)
        return out


def _up(x):
    return int(-(-x // 1))


def judge(anchor, own, policy, roots):
    """One anchor; own is the proof's opened note, or None."""
    out = Judged(anchor["kind"], anchor["name"])
    try:
        out.detail = _judge(out, anchor, own, policy, roots)
        out.outcome = PROVED
    except NotPresent as e:
        out.detail = str(e)
    except Disagree as e:
        out.outcome, out.detail, out.disagreed = FAILED, str(e), True
    except Refused as e:
        out.outcome, out.detail = FAILED, str(e)
    return out


def _judge(out, anchor, own, policy, roots):
    if own is None:
        raise NotPresent("the proof's own checkpoint cannot be opened")
    root = _root_of(anchor, policy, roots)
    held = note.open_note(anchor["checkpoint"].encode(), policy)
    out.size, out.seals = held.size, tuple(t for _, t in held.seals)
    if held.sealed_time is None:
        raise NotPresent("the seals on its checkpoint do not meet the quorum")
    asked = own.size, held.size, own.root, held.root, anchor["path"]
    problem = digests.consistent(*asked)
    if (problem is None) != (digests.consistent(*asked, digests.sm3_python) is None):
        raise Disagree("the two implementations of SM3 differ")
    if problem:
        raise Refused(f"the proof's checkpoint is no prefix of it: {problem}")
    if anchor["kind"] == "witness":
        out.time = root["key"].time_on(held)
        return "the witness's own clock; witness: SHA-256 half only"
    if anchor["kind"] == "fabric":
        raise NotPresent("this verifier does not verify receipts of Fabric")
    info, lists = timestamp.verify(anchor["receipt"], anchor["checkpoint"].encode(), root["roots"])
    out.time, out.accuracy = info.time, info.accuracy
    return "the authority's time; " + ("not revoked by the lists in the token" if lists else "revocation was not checked")


def _root_of(anchor, policy, roots):
    if roots is None:
        raise NotPresent("no anchor roots were given")
    if roots.chain != policy.chain:
        raise NotPresent(f"the anchor roots are of the chain {roots.chain}")
    root = roots.of.get(_key(anchor))
    if root is None:
        raise NotPresent("the anchor roots do not know it")
    if anchor["kind"] == "witness" and any(root["key"].key in m.keys.values() for e in policy.epochs for m in e.members):
        raise NotPresent("the witness's key is a member's")
    return root


# ---- times ------------------------------------------------------------------

def impossible(judged, received_at):
    """(anchor, what it is earlier than), of every order of times that cannot be; received_at in milliseconds."""
    out = []
    for a in judged:
        if a.time is not None:
            late = a.time + a.accuracy + BOUND
            out += [(a, "received_at")] * (late * 1000 < received_at) + [(a, "seal")] * (late < max(a.seals))
    return out


def bracket(judged, received_at, sealed_time):
    """What the report says of times: the sealed time is in whole seconds."""
    orders = impossible(judged, received_at)
    words = [("seals", (sealed_time + 1) * 1000)]
    best = words[0]
    timed = [a for a in judged if a.time is not None]
    for kind in ("rfc3161", "witness"):
        sound = [a for a in timed if a.kind == kind and (a, "seal") not in orders]
        if sound:
            first = min(sound, key=lambda a: (a.word(), a.name))
            best = first.label, first.word()
            break
    every = [words[0][1]] + [a.word() for a in timed]
    return {"impossible": [{"anchor": a.label, "earlier_than": what} for a, what in orders],
            "not_later_than": best[1], "source": best[0], "spread_ms": min(max(every) - min(every), MAX_INT)}
