"""The trust policy (docs/spec/policy.md): text, soundness, quorum."""

import hashlib
import re
from dataclasses import dataclass, field

from canonical import MAX_INT, Refused, chain_id, hexbytes, member_id, one_of
from signatures import public_key

MAX_BYTES = 262144
MAX_EPOCHS, MAX_MEMBERS, MAX_PINS, MAX_REQUIRE = 128, 30, 260, 4
NEUTRAL = ("arbitration", "court", "notary")
ROLES = NEUTRAL + ("vendor",)
KEY_LINES = (("seal-sm2", "sm2"), ("seal-ed25519", "ed25519"), ("log", "ed25519"), ("intake", "sm2"), ("admin", "sm2"))
SM2_LINE_TYPE = b"\xffqifeng-sm2-cosignature/v1"


@dataclass
class Member:
    id: str
    role: str
    keys: dict  # line word -> (algorithm, raw bytes)


@dataclass
class Epoch:
    first: int
    quorum: int
    neutral: int
    require: list  # (role, count)
    members: list
    pins: dict  # size -> pair
    last: int = MAX_INT
    line_keys: dict = field(default_factory=dict)  # (name, key id) -> (member, line word)

    def member(self, name):
        return next((m for m in self.members if m.id == name), None)

    def met_by(self, members):
        """Whether these members together meet the rule."""
        roles = [m.role for m in members]
        return (len(roles) >= self.quorum and len(set(roles) & set(NEUTRAL)) >= self.neutral
                and all(roles.count(role) >= n for role, n in self.require))


@dataclass
class Policy:
    chain: str
    genesis: dict
    epochs: list

    def epoch_of(self, size):
        return next((e for e in self.epochs if e.first <= size <= e.last), None)


class _Lines:
    """The lines that say something, taken one by one."""

    def __init__(self, data):
        if len(data) > MAX_BYTES:
            raise Refused(f"policy: {len(data)} bytes, at most {MAX_BYTES}")
        if not re.fullmatch(rb"(?:[\x20-\x7e]*\n)+", data):
            raise Refused("policy: not lines of printable ASCII, each ended by a line feed")
        self.lines = [(i, s) for i, s in enumerate(data.decode("ascii").split("\n")[:-1], 1) if s and s[0] != "#"]

    def next_is(self, word):
        return bool(self.lines) and self.lines[0][1].split(" ")[0] == word

    def take(self, word, *types):
        if not self.next_is(word):
            where = f"line {self.lines[0][0]}" if self.lines else "its end"
            raise Refused(f"policy: a line {word} is expected at {where}")
        number, line = self.lines.pop(0)
        parts = line.split(" ")[1:]
        if len(parts) != len(types):
            raise Refused(f"policy line {number}: {len(parts)} fields, {len(types)} expected")
        return [t(p, f"policy line {number}") for t, p in zip(types, parts)]


def _number(limit):
    def check(v, at):
        if not re.fullmatch(r"0|[1-9][0-9]{0,15}", v) or int(v) > limit:
            raise Refused(f"{at}: not a number up to {limit}")
        return int(v)
    return check


_role, _half = one_of(*ROLES), hexbytes(32)


def parse(data):
    """A sound policy, or Refused."""
    lines = _Lines(data)
    lines.take("qifeng-policy/v1")
    chain, = lines.take("chain", chain_id)
    sm3, sha256 = lines.take("genesis", _half, _half)
    policy = Policy(chain, {"sm3": sm3, "sha256": sha256}, [])
    while lines.next_is("epoch"):
        if len(policy.epochs) == MAX_EPOCHS:
            raise Refused(f"policy: more than {MAX_EPOCHS} epochs")
        policy.epochs.append(_epoch(lines))
    if lines.lines:
        raise Refused(f"policy line {lines.lines[0][0]}: unknown or misplaced")
    _check(policy)
    return policy


def _epoch(lines):
    first, = lines.take("epoch", _number(MAX_INT))
    k, _, n = lines.take("quorum", _number(MAX_MEMBERS), one_of("of"), _number(MAX_MEMBERS))
    neutral, = lines.take("neutral-roles", _number(MAX_MEMBERS))
    require = []
    while lines.next_is("require"):
        require.append(tuple(lines.take("require", _role, _number(MAX_MEMBERS))))
    members = []
    while lines.next_is("member"):
        name, role = lines.take("member", member_id, _role)
        keys = {word: lines.take(word, lambda v, at, alg=alg: public_key(v, at, alg))[0] for word, alg in KEY_LINES}
        members.append(Member(name, role, keys))
    pins = []
    while lines.next_is("pin"):
        size, sm3, sha256 = lines.take("pin", _number(MAX_INT), _half, _half)
        pins.append((size, {"sm3": sm3, "sha256": sha256}))
    if len(members) != n:
        raise Refused(f"policy: epoch {first} has {len(members)} members, its quorum line says {n}")
    if len(pins) > MAX_PINS or len(require) > MAX_REQUIRE:
        raise Refused(f"policy: epoch {first} has too many lines")
    if not _rising([size for size, _ in pins]):
        raise Refused(f"policy: the pins of epoch {first} do not rise")
    return Epoch(first, k, neutral, require, members, dict(pins))


def _rising(values):
    return all(a < b for a, b in zip(values, values[1:]))


def _check(policy):
    if policy.chain[-8:] != policy.genesis["sm3"].hex()[:8]:
        raise Refused("policy: the chain id is not that of the genesis")
    _no_zeros(policy.genesis)
    firsts = [e.first for e in policy.epochs]
    if not firsts or firsts[0] != 1 or not _rising(firsts):
        raise Refused("policy: the epochs do not begin at 1 and rise")
    owners = {}
    for epoch, following in zip(policy.epochs, firsts[1:] + [MAX_INT + 1]):
        epoch.last = following - 1
        _check_quorum(epoch)
        _check_members(epoch, "qifeng/" + policy.chain, owners)
        for size, pair in epoch.pins.items():
            _no_zeros(pair)
            if not epoch.first <= size <= epoch.last:
                raise Refused(f"policy: pin {size} lies outside its epoch")


def _no_zeros(pair):
    if bytes(32) in pair.values():
        raise Refused("policy: a hash of zeros")


def _check_quorum(epoch):
    n = len(epoch.members)
    roles = [m.role for m in epoch.members]
    if not n or epoch.quorum > n or 3 * epoch.quorum <= 2 * n:
        raise Refused(f"policy: quorum of {epoch.quorum} of {n} is not more than 2/3 of the members")
    if not 1 <= epoch.neutral <= len(set(roles) & set(NEUTRAL)):
        raise Refused(f"policy: {epoch.neutral} neutral roles cannot be asked for")
    if not _rising([role for role, _ in epoch.require]):
        raise Refused("policy: require lines do not rise")
    if any(not 1 <= count <= roles.count(role) for role, count in epoch.require):
        raise Refused("policy: a require line cannot be met, or asks for nothing")


def _check_members(epoch, origin, owners):
    if not _rising([m.id for m in epoch.members]):
        raise Refused("policy: the members are not sorted, or one stands there twice")
    seen = set()
    for m in epoch.members:
        for word, key in m.keys.items():
            if key in seen or owners.setdefault(key, (m.id, word)) != (m.id, word):
                raise Refused(f"policy: the {word} key of {m.id} stands at two places")
            seen.add(key)
        for name, kind, word in ((origin, b"\x01", "log"), (m.id, b"\x04", "seal-ed25519"), (m.id, SM2_LINE_TYPE, "seal-sm2")):
            label = name, hashlib.sha256(name.encode() + b"\n" + kind + m.keys[word][1]).digest()[:4]
            if label in epoch.line_keys:
                raise Refused(f"policy: two keys answer to the lines of {name}")
            epoch.line_keys[label] = m, word
