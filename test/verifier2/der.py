"""DER (X.690): values of one spelling, as a tree of nodes.

Only what certificates, revocation lists and time-stamp tokens need. Reading is
strict: definite lengths in their shortest form, tags of one byte, no strings in
pieces, true BOOLEANs and INTEGERs, and nothing behind the value.
"""

from dataclasses import dataclass
from datetime import datetime, timezone
from fractions import Fraction
import re

from canonical import Refused

BOOLEAN, INTEGER, BITS, OCTETS, NULL, OID, ENUMERATED = 1, 2, 3, 4, 5, 6, 10
UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 23, 24, 0x30, 0x31
MAX_DEPTH = 24


@dataclass(frozen=True)
class Node:
    tag: int
    body: bytes
    raw: bytes    # the whole value, tag and length included
    inner: tuple  # of a constructed value

    def need(self, tag, what):
        if self.tag != tag:
            raise Refused(f"{what}: tag {self.tag:02x}, not {tag:02x}")
        return self

    def items(self, tag, what):
        return Items(self.need(tag, what).inner, what)

    def one(self, tag, what):
        """The only value inside a constructed one."""
        return self.items(tag, what).only()

    def number(self, what):
        return int.from_bytes(self.need(INTEGER, what).body, "big", signed=True)

    def octets(self, what):
        """The bytes of an OCTET STRING, at least one."""
        if not self.need(OCTETS, what).body:
            raise Refused(f"{what}: an empty OCTET STRING")
        return self.body

    def bits(self, what):
        """The bytes of a BIT STRING of whole bytes."""
        body = self.need(BITS, what).body
        if body[0]:
            raise Refused(f"{what}: a BIT STRING that ends within a byte")
        return body[1:]

    def oid(self, what):
        return _dotted(self.need(OID, what).body)


class Items:
    """The values inside a constructed one, taken in their order."""

    def __init__(self, nodes, what):
        self.nodes, self.what = list(nodes), what

    def __bool__(self):
        return bool(self.nodes)

    def next(self):
        if not self.nodes:
            raise Refused(f"{self.what}: something is missing")
        return self.nodes.pop(0)

    def optional(self, *tags):
        return self.nodes.pop(0) if self.nodes and self.nodes[0].tag in tags else None

    def end(self):
        if self.nodes:
            raise Refused(f"{self.what}: more than there may be")

    def only(self):
        node = self.next()
        self.end()
        return node


def read(data, what):
    """The one value that the bytes are."""
    node, rest = _value(data, what, 1)
    if rest:
        raise Refused(f"{what}: {len(rest)} bytes behind it")
    return node


def _value(data, what, depth):
    if len(data) < 2 or depth > MAX_DEPTH:
        raise Refused(f"{what}: no DER")
    tag, length, at = data[0], data[1], 2
    if tag & 31 == 31:
        raise Refused(f"{what}: a tag of several bytes")
    if length & 0x80:
        at = 2 + (length & 0x7F)
        length = int.from_bytes(data[2:at], "big")
        if at == 2 or at > 6 or length < 0x80 or data[2] == 0:
            raise Refused(f"{what}: a length that is not DER")
    if len(data) < at + length:
        raise Refused(f"{what}: cut off")
    body = data[at:at + length]
    inner = []
    if tag & 0x20:
        if tag < 0x40 and tag not in (SEQUENCE, SET):
            raise Refused(f"{what}: a string in pieces")
        rest = body
        while rest:
            node, rest = _value(rest, what, depth + 1)
            inner.append(node)
    else:
        check(tag, body, what)
    return Node(tag, body, data[:at + length], tuple(inner)), data[at + length:]


def check(tag, body, what):
    """Refuse the contents of a primitive value that are not DER."""
    if tag in (SEQUENCE & 31, SET & 31):
        raise Refused(f"{what}: a SEQUENCE or SET that is not constructed")
    if tag == BOOLEAN and body not in (b"\x00", b"\xff"):
        raise Refused(f"{what}: a BOOLEAN that is not DER")
    if tag in (INTEGER, ENUMERATED):
        if not body or len(body) > 1 and (body[0], body[1] >> 7) in ((0, 0), (255, 1)):
            raise Refused(f"{what}: an INTEGER that is not DER")
    if tag == BITS and (not body or body[0] > 7 or len(body) == 1 and body[0] or body[-1] & (1 << body[0]) - 1 and len(body) > 1):
        raise Refused(f"{what}: a BIT STRING that is not DER")
    if tag == NULL and body:
        raise Refused(f"{what}: a NULL that is not DER")


def _dotted(body):
    if not body or body[-1] & 0x80:
        raise Refused("an object identifier is cut off")
    numbers, n = [], 0
    for b in body:
        n = n << 7 | b & 0x7F
        if not b & 0x80:
            numbers.append(n)
            n = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first] + numbers[1:]))


def time(node, what):
    """Seconds since 1970, exactly."""
    text = node.body.decode("ascii", "replace")
    if node.tag == UTC_TIME and re.fullmatch(r"[0-9]{12}Z", text):
        text = ("19" if text[:2] >= "50" else "20") + text
    elif node.tag != GENERALIZED_TIME or not re.fullmatch(r"[0-9]{14}(\.[0-9]*[1-9])?Z", text):
        raise Refused(f"{what}: not a time in DER")
    try:
        whole = datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Refused(f"{what}: no such time") from None
    if whole.strftime("%S") != text[12:14]:
        raise Refused(f"{what}: no such time")
    return int(whole.timestamp()) + (Fraction("0" + text[14:-1]) if len(text) > 15 else 0)
