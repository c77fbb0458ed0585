"""Canonical JSON and the basic types (docs/spec/canonical-json.md).

A document is read with Python's own JSON parser, every freedom of which is
taken away by hooks, and then written again: it is canonical if and only if
the bytes are the same. Types are small checkers that are put together into
descriptions of objects; a checker returns the value or raises Refused with
the path of the field.
"""

import json
import re
from datetime import datetime, timezone

MAX_INT = 2**53 - 1
MAX_DEPTH = 16
MAX_KEY = 64

_FORBIDDEN = [
    (0x00, 0x1F), (0x7F, 0x9F),
    (0x61C, 0x61C), (0x200E, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069),
    (0xAD, 0xAD), (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200D), (0x2028, 0x2029), (0x2060, 0x2065), (0x206A, 0x206F), (0x3164, 0x3164),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F),
    (0xD800, 0xDFFF),  # lone surrogates: the parser lets them through
]
_FORBIDDEN_RE = re.compile("[" + "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in _FORBIDDEN) + "]")


class Refused(Exception):
    """Input that the specification refuses."""


class NotPresent(Exception):
    """There is nothing to judge, or nothing that this verifier can judge."""


def _integer(text):
    if not re.fullmatch(r"0|[1-9][0-9]{0,15}", text) or int(text) > MAX_INT:
        raise Refused(f"{text[:24]} is not an integer from 0 to 2^53-1")
    return int(text)


def _no_number(text):
    raise Refused(f"{text[:24]}: only integers are numbers here")


def _pairs(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Refused("a key appears twice")
    return out


def _load(data):
    try:
        text = data.decode("utf-8", "strict")
        return json.loads(text, object_pairs_hook=_pairs, parse_int=_integer,
                          parse_float=_no_number, parse_constant=_no_number)
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        raise Refused(f"not JSON: {e}") from None
    except RecursionError:
        raise Refused("nests too deep") from None


def _check(value, depth):
    """Refuse values outside the language, whatever their spelling."""
    if isinstance(value, (dict, list)):
        if depth > MAX_DEPTH:
            raise Refused(f"nests deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key in value:
                if not key.isascii():
                    raise Refused("a key is not ASCII")
                _check(key, depth + 1)
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, depth + 1)
    elif isinstance(value, str):
        bad = _FORBIDDEN_RE.search(value.replace("\n", ""))
        if bad:
            raise Refused(f"a string holds U+{ord(bad.group()):04X}")
    elif value is None:
        raise Refused("null is refused")
    elif not isinstance(value, (bool, int)):
        raise Refused("a value of no allowed type")


def write(value):
    """The canonical bytes of a value of the language."""
    return _write(value).encode("utf-8")


def _write(value):
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    return "{" + ",".join(_write(k) + ":" + _write(value[k]) for k in sorted(value)) + "}"


def read(data, limit=None):
    """Strictly: the value of canonical bytes."""
    if limit is not None and len(data) > limit:
        raise Refused(f"{len(data)} bytes, at most {limit}")
    value = _load(data)
    _check(value, 1)
    if write(value) != data:
        raise Refused("not in canonical form (white space, key order, escapes or numbers)")
    _short_keys(value)
    return value


def _short_keys(value):
    if isinstance(value, dict):
        if any(len(k) > MAX_KEY for k in value):
            raise Refused(f"a key is longer than {MAX_KEY} bytes")
        value = value.values()
    elif not isinstance(value, list):
        return
    for inner in value:
        _short_keys(inner)


def read_liberal(data, limit):
    """The value of a file whose white space, key order and escapes are free."""
    if len(data) > limit:
        raise Refused(f"{len(data)} bytes, at most {limit}")
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    value = _load(data)
    _check(value, 1)
    return value


# ---- types ----------------------------------------------------------------

def integer(low=0, high=MAX_INT):
    def check(v, at):
        if type(v) is not int or not low <= v <= high:
            raise Refused(f"{at}: not an integer from {low} to {high}")
        return v
    return check


def _text(v, at, limit):
    if not isinstance(v, str) or len(v.encode()) > limit:
        raise Refused(f"{at}: not a string of at most {limit} bytes")
    return v


def string(limit, filled=False):
    def check(v, at):
        if "\n" in _text(v, at, limit) or filled and v == "":
            raise Refused(f"{at}: empty, or has a line feed")
        return v
    return check


def text(limit):
    """A string in which line feeds are allowed."""
    return lambda v, at: _text(v, at, limit)


def one_of(*words):
    def check(v, at):
        if not isinstance(v, str) or v not in words:
            raise Refused(f"{at}: not one of {' '.join(words)}")
        return v
    return check


def matching(pattern, but=()):
    def check(v, at):
        if not isinstance(v, str) or not re.fullmatch(pattern, v) or v in but:
            raise Refused(f"{at}: does not match {pattern}")
        return v
    return check


def hexbytes(n):
    return lambda v, at: bytes.fromhex(matching(f"[0-9a-f]{{{2 * n}}}")(v, at))


def time(v, at):
    """A time, as milliseconds since 1970."""
    matching(r"[2-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")(v, at)
    try:
        t = datetime.strptime(v[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Refused(f"{at}: no such time") from None
    if t.second > 59 or t.strftime("%Y-%m-%dT%H:%M:%S") != v[:19]:
        raise Refused(f"{at}: no such time")
    return int(t.timestamp()) * 1000 + int(v[20:23])


def array(inner, low, high):
    def check(v, at):
        if not isinstance(v, list) or not low <= len(v) <= high:
            raise Refused(f"{at}: not an array of {low} to {high}")
        return [inner(e, f"{at}[{i}]") for i, e in enumerate(v)]
    return check


def fields(**types):
    """An object of a closed list of fields; a name that ends in _ is optional."""
    required = {k: t for k, t in types.items() if not k.endswith("_")}
    optional = {k[:-1]: t for k, t in types.items() if k.endswith("_")}
    known = required | optional

    def check(v, at):
        if not isinstance(v, dict):
            raise Refused(f"{at}: not an object")
        for k in v:
            if k not in known:
                raise Refused(f"{at}: unknown field {k}")
        for k in required:
            if k not in v:
                raise Refused(f"{at}: field {k} is missing")
        return {k: known[k](v[k], f"{at}.{k}") for k in v}
    return check


def same(v, _at):
    """Any value of the language, looked at later."""
    return v


digest_pair = fields(sha256=hexbytes(32), sm3=hexbytes(32))
member_id = matching(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", but=("none",))
key_name = matching(r"[a-z0-9][a-z0-9._-]{0,31}")
chain_id = matching(r"(?=.{1,50}$)[a-z][a-z0-9-]*-[0-9a-f]{8}")
