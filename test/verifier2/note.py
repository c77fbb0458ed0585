"""Checkpoints and their seals (docs/spec/checkpoint.md)."""

import base64
import binascii
import re
from dataclasses import dataclass

from canonical import MAX_INT, Refused
from signatures import verify

MAX_NOTE, MAX_LINES = 65536, 100
SIGNED_AS = {"seal-ed25519": b"cosignature/v1", "seal-sm2": b"qifeng-sm2-cosignature/v1"}
_BODY = re.compile(rb"(qifeng/[a-z0-9-]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\nsm3 ([A-Za-z0-9+/]{43}=)\n")
# White space as Unicode has it (property White_Space), and what signed-note forbids besides.
_NOT_A_NAME = re.compile("[\x00-\x20+\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")


@dataclass
class Note:
    size: int
    root: dict
    epoch: object
    seals: list         # (member, time), of the members that count, by id
    sealed_time: object  # Unix seconds, None unless the quorum is met
    text: bytes         # the body
    lines: list         # (name, key id, what follows), of all signature lines


def unpad(data, at="note"):
    """The bytes of base64 in its one canonical spelling."""
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{at}: not base64") from None
    if base64.b64encode(raw) != data:
        raise Refused(f"{at}: base64 in another spelling")
    return raw


def is_name(name):
    """Whether a key may be called so."""
    return bool(name) and not _NOT_A_NAME.search(name)


def body(data):
    """(origin, size, root) of the four lines of a checkpoint."""
    found = _BODY.fullmatch(data)
    if not found or int(found[2]) > MAX_INT:
        raise Refused("note: not the four lines of a checkpoint")
    return found[1].decode(), int(found[2]), {"sha256": unpad(found[3]), "sm3": unpad(found[4])}


def _signature_lines(data):
    if not data.endswith(b"\n"):
        raise Refused("note: no signature line, or the last is not ended")
    lines = data[:-1].split(b"\n")
    if len(lines) > MAX_LINES:
        raise Refused(f"note: more than {MAX_LINES} signature lines")
    for line in lines:
        dash, _, rest = line.partition(b" ")
        name, gap, blob = rest.partition(b" ")
        try:
            name = name.decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Refused("note: a key name is not UTF-8") from None
        if dash != "\u2014".encode() or not gap or not is_name(name):
            raise Refused("note: a line is no signature line")
        raw = unpad(blob)
        if len(raw) < 5:
            raise Refused("note: a signature is too short")
        yield name, raw[:4], raw[4:]


def split(data):
    """(body, signature lines)."""
    if len(data) > MAX_NOTE:
        raise Refused(f"note: {len(data)} bytes, at most {MAX_NOTE}")
    cut = data.rfind(b"\n\n")
    if cut < 0:
        raise Refused("note: no blank line before the signatures")
    return data[:cut + 1], list(_signature_lines(data[cut + 2:]))


def open_note(data, policy):
    """The opened note, or Refused: it is malformed, foreign or false."""
    text, lines = split(data)
    origin, size, root = body(text)
    if origin != "qifeng/" + policy.chain:
        raise Refused("note: of another chain")
    epoch = policy.epoch_of(size)
    if epoch is None:
        raise Refused(f"note: the policy has no epoch for size {size}")
    times = _verified(text, lines, epoch)
    if epoch.pins.get(size, root) != root:
        raise Refused("note: the policy pins another root at this size")
    seals = [(m, times[m.id, "seal-sm2"]) for m in epoch.members
             if (m.id, "seal-sm2") in times and times.get((m.id, "seal-ed25519")) == times[m.id, "seal-sm2"]]
    return Note(size, root, epoch, seals, _sealed_time(epoch, seals), text, lines)


def _verified(text, lines, epoch):
    """(member id, line word) -> time, of all lines of known keys."""
    times = {}
    for name, key_id, blob in lines:
        if (name, key_id) not in epoch.line_keys:
            continue
        member, word = epoch.line_keys[name, key_id]
        what = f"note: the {word} line of {member.id}"
        if (member.id, word) in times:
            raise Refused(f"{what} stands there twice")
        if len(blob) != (64 if word == "log" else 72):
            raise Refused(f"{what} has a wrong length")
        time, message = 0, text
        if word != "log":
            time, blob = int.from_bytes(blob[:8], "big"), blob[8:]
            if not 1 <= time < 2**63:
                raise Refused(f"{what} has an impossible time")
            message = SIGNED_AS[word] + b"\ntime " + str(time).encode() + b"\n" + text
        if not verify(member.keys[word], message, blob):
            raise Refused(f"{what} is false")
        times[member.id, word] = time
    return times


def _sealed_time(epoch, seals):
    for t in sorted(t for _, t in seals):
        if epoch.met_by([m for m, at in seals if at <= t]):
            return t
    return None
