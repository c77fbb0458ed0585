"""SM3, digest pairs and Merkle trees (docs/spec/merkle.md).

A pair is the dictionary {"sm3": bytes, "sha256": bytes}. Each half of a tree
is computed by itself: the functions below take the name of a hash, and what is
true of a tree must be true of both.
"""

import hashlib

HALVES = ("sm3", "sha256")


def _rotl(x, n):
    n %= 32
    return (x << n | x >> (32 - n)) & 0xFFFFFFFF


def sm3_python(data):
    """SM3 (GB/T 32905-2016) for Pythons whose OpenSSL has none."""
    state = [0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E]
    data = data + b"\x80" + bytes((55 - len(data)) % 64) + (8 * len(data)).to_bytes(8, "big")
    for at in range(0, len(data), 64):
        w = [int.from_bytes(data[at + i:at + i + 4], "big") for i in range(0, 64, 4)]
        for j in range(16, 68):
            x = w[j - 16] ^ w[j - 9] ^ _rotl(w[j - 3], 15)
            w.append(x ^ _rotl(x, 15) ^ _rotl(x, 23) ^ _rotl(w[j - 13], 7) ^ w[j - 6])
        a, b, c, d, e, f, g, h = state
        for j in range(64):
            ss1 = _rotl((_rotl(a, 12) + e + _rotl(0x79CC4519 if j < 16 else 0x7A879D8A, j)) & 0xFFFFFFFF, 7)
            ss2 = ss1 ^ _rotl(a, 12)
            if j < 16:
                ff, gg = a ^ b ^ c, e ^ f ^ g
            else:
                ff, gg = a & b | a & c | b & c, e & f | ~e & g
            tt1 = (ff + d + ss2 + (w[j] ^ w[j + 4])) & 0xFFFFFFFF
            tt2 = (gg + h + ss1 + w[j]) & 0xFFFFFFFF
            a, b, c, d = tt1, a, _rotl(b, 9), c
            e, f, g, h = tt2 ^ _rotl(tt2, 9) ^ _rotl(tt2, 17), e, _rotl(f, 19), g
        state = [s ^ v for s, v in zip(state, (a, b, c, d, e, f, g, h))]
    return b"".join(s.to_bytes(4, "big") for s in state)


def _sm3():
    try:
        hashlib.new("sm3", b"")
    except ValueError:
        return sm3_python
    return lambda data: hashlib.new("sm3", data).digest()


_HASH = {"sm3": _sm3(), "sha256": lambda data: hashlib.sha256(data).digest()}


def sm3(data):
    return _HASH["sm3"](data)


def plain(data):
    """The plain pair of bytes."""
    return {half: _HASH[half](data) for half in HALVES}


def leaf(data):
    return plain(b"\x00" + data)


def node(left, right, hashes=_HASH):
    return {half: hashes[half](b"\x01" + left[half] + right[half]) for half in HALVES}


def root(leaves):
    """The root over leaf pairs, by the definition of RFC 9162 section 2.1.1."""
    if not leaves:
        return plain(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return node(root(leaves[:k]), root(leaves[k:]))


def path_shape(index, size):
    """For each step of an inclusion path, whether the sibling stands left."""
    shape = []
    low, high = 0, size
    while high - low > 1:
        k = low + (1 << (high - low - 1).bit_length() - 1)
        shape.append(index >= k)
        low, high = (k, high) if index >= k else (low, k)
    return shape[::-1]


def included(entry, index, size, path, want):
    """Why the leaf pair is not at index in the tree, or None."""
    if index >= size:
        return f"index {index} is not below the size {size}"
    shape = path_shape(index, size)
    if len(shape) != len(path):
        return f"the path has {len(path)} steps, index and size ask for {len(shape)}"
    for left, sibling in zip(shape, path):
        entry = node(sibling, entry) if left else node(entry, sibling)
    wrong = [half for half in HALVES if entry[half] != want[half]]
    return f"the path does not lead to the root: {' and '.join(wrong)}" if wrong else None


def half_root(hash_function, data, index, size, path):
    """The root of one half, by another implementation of SM3, from the leaf data.

    The path must have been found to fit index and size.
    """
    have = hash_function(b"\x00" + data)
    for left, sibling in zip(path_shape(index, size), path):
        have = hash_function(b"\x01" + (sibling["sm3"] + have if left else have + sibling["sm3"]))
    return have


def consistent(m, n, old, new, path, sm3_function=sm3):
    """Why the tree of m leaves is no prefix of that of n, or None.

    The mirror image of the prover of RFC 9162 section 2.1.4.1: SUBPROOF says in
    which order the hashes stand; here they are taken from the end.
    """
    if m > n:
        return f"{m} is above {n}"
    if m == 0 or m == n:
        if path:
            return "the path is not empty"
        if m == 0 and old != plain(b"") or m == n and old != new:
            return "the roots differ"
        return None
    rest, hashes = list(path), _HASH | {"sm3": sm3_function}

    def subproof(low, high, whole):
        """(old root, new root) of the leaves low..high-1, of which m divides the old from the new."""
        if m == high:
            return (old, old) if whole else (lambda p: (p, p))(rest.pop(0))
        k = low + (1 << (high - low - 1).bit_length() - 1)
        if m <= k:
            o, w = subproof(low, k, whole)
            return o, node(w, rest.pop(0), hashes)
        o, w = subproof(k, high, False)
        left = rest.pop(0)
        return node(left, o, hashes), node(left, w, hashes)

    try:
        got = subproof(0, n, True)
    except IndexError:
        return "the path is too short"
    if rest:
        return "the path is too long"
    wrong = [h for h in HALVES if got[0][h] != old[h] or got[1][h] != new[h]]
    return f"the path does not lead to the roots: {' and '.join(wrong)}" if wrong else None
