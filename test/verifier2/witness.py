"""C2SP witnesses (docs/spec/anchors.md section 6): verifier keys and cosignatures."""

import base64
import hashlib
import re

from canonical import Refused
from note import is_name
from signatures import public_key, verify

COSIGNATURE = b"\x04"


class Witness:
    """A verifier key: name + key id + base64 of type and key."""

    def __init__(self, text, at):
        found = re.fullmatch(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})", text)
        if not found or not is_name(found[1]) or len(found[1].encode()) > 255:
            raise Refused(f"{at}: not a verifier key")
        raw = base64.b64decode(found[3])  # 33 bytes in 44 characters have one spelling
        if raw[:1] != COSIGNATURE:
            raise Refused(f"{at}: not a key for cosignatures")
        self.name, self.key = found[1], public_key("ed25519:" + raw[1:].hex(), at)
        self.id = hashlib.sha256(self.name.encode() + b"\n" + COSIGNATURE + self.key[1]).digest()[:4]
        if self.id.hex() != found[2]:
            raise Refused(f"{at}: the key id is not that of the key")

    def time_on(self, note):
        """Unix seconds of its cosignature on an opened note, or Refused."""
        lines = [rest for name, key_id, rest in note.lines if (name, key_id) == (self.name, self.id)]
        if len(lines) != 1:
            raise Refused(f"{len(lines)} lines of the witness {self.name}, not one")
        time, signature = int.from_bytes(lines[0][:8], "big"), lines[0][8:]
        if len(signature) != 64 or not 1 <= time < 2**63:
            raise Refused(f"the line of the witness {self.name} has a wrong length or an impossible time")
        if not verify(self.key, b"cosignature/v1\ntime " + str(time).encode() + b"\n" + note.text, signature):
            raise Refused(f"the cosignature of the witness {self.name} is false")
        return time
