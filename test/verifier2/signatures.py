"""Public keys and signatures (docs/spec/canonical-json.md section 3), by openssl.

openssl is asked through temporary files that hold public things only. It is
tried on published vectors before its answers are believed. Every SM2 signature
is checked a second time in plain Python; where the two differ, neither is
believed. Answers are kept: the same key, message and signature are asked once.
"""

import base64
import os
import re
import subprocess
import tempfile

import sm2
from canonical import Refused
from sm2 import A, B, N, P

SIGNER_ID = "1234567812345678"

_SPKI = {
    "sm2": bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200"),
    "ed25519": bytes.fromhex("302a300506032b6570032100"),
}
_SMALL = {
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("ec" + "ff" * 30 + "7f"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}


def public_key(text, at, alg=None):
    """(algorithm, raw bytes) of the text form of a public key."""
    found = re.fullmatch("(sm2):(04[0-9a-f]{128})|(ed25519):([0-9a-f]{64})", text if isinstance(text, str) else "")
    if not found:
        raise Refused(f"{at}: not a public key in its text form")
    name, raw = found[1] or found[3], bytes.fromhex(found[2] or found[4])
    if alg and name != alg:
        raise Refused(f"{at}: a key of {name}, not of {alg}")
    if name == "sm2":
        x, y = int.from_bytes(raw[1:33], "big"), int.from_bytes(raw[33:], "big")
        if x >= P or y >= P or (y * y - x * x * x - A * x - B) % P:
            raise Refused(f"{at}: not a point of the SM2 curve")
    else:
        y = raw[:31] + bytes([raw[31] & 0x7F])
        if y in _SMALL or int.from_bytes(y, "little") >= 2**255 - 19:
            raise Refused(f"{at}: an Ed25519 key that is refused")
    return name, raw


def key(alg=None):
    """A checker for fields that hold a public key."""
    return lambda v, at: public_key(v, at, alg)


def _der(sig):
    """Strict DER of an SM2 signature."""
    parts = b""
    for half in (sig[:32], sig[32:]):
        v = int.from_bytes(half, "big")
        if not 1 <= v < N:
            return None
        raw = v.to_bytes(v.bit_length() // 8 + 1, "big")
        parts += b"\x02" + bytes([len(raw)]) + raw
    return b"\x30" + bytes([len(parts)]) + parts


class Disagree(Exception):
    """The two implementations of SM2 or SM3 gave different answers."""


_answers = {}


def verify(pub, message, sig):
    """Whether the 64 bytes are a signature of the message under the key."""
    asked = (pub, message, sig)
    if asked not in _answers:
        answer = _ask(pub, message, sig)
        if pub[0] == "sm2" and sm2.verify(pub[1], message, sig, SIGNER_ID.encode()) != answer:
            answer = None
        _answers[asked] = answer
    if _answers[asked] is None:
        raise Disagree("openssl and plain Python differ on an SM2 signature")
    return _answers[asked]


def _ask(pub, message, sig):
    alg, raw = pub
    if len(sig) != 64:
        return False
    if alg == "sm2":
        sig = _der(sig)
        if sig is None:
            return False
    command = ["pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "message", "-sigfile", "sig"]
    if alg == "sm2":
        command += ["-digest", "sm3", "-pkeyopt", "distid:" + SIGNER_ID]
    ok, said = openssl(command, key=pem("PUBLIC KEY", _SPKI[alg] + raw), message=message, sig=sig)
    return ok and b"Signature Verified Successfully" in said


def pem(label, der):
    label = label.encode()
    return b"-----BEGIN " + label + b"-----\n" + base64.encodebytes(der) + b"-----END " + label + b"-----\n"


def openssl(command, **files):
    """(whether it ended well, what it said), run where files of these names and bytes are."""
    with tempfile.TemporaryDirectory(prefix="verifier2-") as folder:
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
        done = subprocess.run(["openssl", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, cwd=folder)
    return done.returncode == 0, done.stdout


# The examples of GB/T 32918.5-2017 annex A and of RFC 8032 section 7.1, test 2.
_TRIALS = (
    (("sm2", bytes.fromhex("0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
                           "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13")), b"message digest",
     bytes.fromhex("f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
                   "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa")),
    (("ed25519", bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")), b"\x72",
     bytes.fromhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                   "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")),
)


def try_openssl():
    """Raise OSError unless openssl tells true signatures from false ones."""
    for pub, message, sig in _TRIALS:
        if not verify(pub, message, sig) or verify(pub, message + b".", sig):
            raise OSError("openssl does not check " + pub[0] + " signatures as published vectors ask")
