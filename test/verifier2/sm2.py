"""SM2 verification in plain Python: the second opinion on what openssl says.

GB/T 32918.2-2016 section 7 with the curve of GB/T 32918.5-2017, on Jacobian
coordinates. It verifies public things only, so nothing here needs to run in
constant time.
"""

from digests import sm3_python

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
     0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0)


def _double(p):
    x, y, z = p
    if not y or not z:
        return 0, 1, 0
    yy = y * y % P
    s = 4 * x * yy % P
    zz = z * z % P
    m = 3 * (x - zz) * (x + zz) % P  # a = -3
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(p, q):
    if not p[2]:
        return q
    if not q[2]:
        return p
    x1, y1, z1 = p
    x2, y2, z2 = q
    z1z1, z2z2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * z2z2 % P, x2 * z1z1 % P
    s1, s2 = y1 * z2 * z2z2 % P, y2 * z1 * z1z1 % P
    if u1 == u2:
        return _double(p) if s1 == s2 else (0, 1, 0)
    h, r = u2 - u1, s2 - s1
    hh = h * h % P
    hhh = h * hh % P
    v = u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, z1 * z2 * h % P


def _sum_of_products(s, t, q):
    """s·G + t·q, both factors walked together."""
    g, q = (*G, 1), (*q, 1)
    table = {(1, 0): g, (0, 1): q, (1, 1): _add(g, q)}
    out = (0, 1, 0)
    for bit in range(255, -1, -1):
        out = _double(out)
        pick = (s >> bit & 1, t >> bit & 1)
        if pick != (0, 0):
            out = _add(out, table[pick])
    return out


def verify(raw, message, sig, signer):
    """raw: 04‖x‖y of a point on the curve; sig: r‖s; signer: the signer id."""
    x, y = int.from_bytes(raw[1:33], "big"), int.from_bytes(raw[33:], "big")
    r, s = int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")
    if len(sig) != 64 or not 1 <= r < N or not 1 <= s < N:
        return False
    z = (8 * len(signer)).to_bytes(2, "big") + signer
    z += b"".join(v.to_bytes(32, "big") for v in (A, B, *G, x, y))
    e = int.from_bytes(sm3_python(sm3_python(z) + message), "big")
    t = (r + s) % N
    if t == 0:
        return False
    px, _, pz = _sum_of_products(s, t, (x, y))
    if not pz:
        return False
    x1 = px * pow(pz, -2, P) % P
    return (e + x1) % N == r
