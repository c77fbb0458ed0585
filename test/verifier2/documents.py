"""The documents that a proof file holds, and the file itself.

record.md, statement.md, batch.md, key.md, receipt.md, proof.md of docs/spec.
"""

from dataclasses import dataclass

import anchors
import digests
from canonical import (MAX_INT, Refused, array, chain_id, digest_pair, fields, hexbytes, integer, key_name, member_id,
                       one_of, read, read_liberal, same, string, text, time, write)
from signatures import key as public_key

MAX_FILE = 65536
MAX_CLAIMS_FILE = 2097152
MAX_SUBMISSION = 4096
MAX_BATCH_RECORDS = 1048576
MAX_DEADLINE = 30 * 24 * 3600 * 1000
VERSION = integer(1, 1)
COUNTING = integer(1, MAX_INT)

PERSON = one_of("id_card", "phone", "bank_card", "biometric", "payment_account", "eid")
COMPANY = one_of("licence", "micro_deposit", "legal_person", "manual")
INTENT = one_of("sms_code", "face", "password", "fingerprint", "voice", "automatic")
RESULT = one_of("passed", "failed", "inconclusive")

_contract = dict(digest=digest_pair, size_=integer())
_signature = dict(certificate=digest_pair, claims=digest_pair, signature=digest_pair)

# Of each kind, its stream and the fields that depend on it.
KINDS = {
    "contract.original": ("contract", _contract),
    "contract.final": ("contract", _contract),
    "contract.attachment": ("contract", _contract),
    "identity.person": ("identity", dict(claims=digest_pair, method=PERSON, result=RESULT)),
    "identity.company": ("identity", dict(claims=digest_pair, method=COMPANY, result=RESULT)),
    "identity.certificate": ("identity", dict(algorithm=one_of("sm2", "rsa", "ecdsa"), certificate=digest_pair,
                                              claims=digest_pair, result=RESULT)),
    "signing.intent": ("signing", dict(claims=digest_pair, method=INTENT, result=RESULT)),
    "signing.signature": ("signing", _signature),
    "signing.seal": ("signing", _signature),
    "dossier.close": ("signing", dict(count=integer(1, 10000), dossier=hexbytes(16), root=digest_pair)),
}

_every = dict(
    captured_at=time, key=key_name, kind=one_of(*KINDS), nonce=hexbytes(16), prev_=digest_pair,
    refs_=array(digest_pair, 1, 16), step_=integer(1, 10000), submitter=member_id, v=VERSION,
    source=fields(environment=one_of("production", "test"), mechanism=one_of("automatic", "manual", "import"),
                  system=one_of("vendor_platform", "customer_system", "ca", "notary", "arbitration", "court", "other")))
SUBMISSIONS = {kind: fields(**(_every | ({} if "dossier" in own else {"dossier_": hexbytes(16)}) | own))
               for kind, (_, own) in KINDS.items()}


def submission(v, at):
    kind = one_of(*KINDS)(v.get("kind") if isinstance(v, dict) else None, at + ".kind")
    out = SUBMISSIONS[kind](v, at)
    if len(write(v)) > MAX_SUBMISSION:
        raise Refused(f"{at}: longer than {MAX_SUBMISSION} bytes")
    if "step" in out and "dossier" not in out:
        raise Refused(f"{at}.dossier: is missing; a step counts within a dossier")
    return out


intake = fields(index=integer(0, 999), node=member_id, received_at=time, statement=digest_pair)

_stream = fields(count=integer(1, MAX_BATCH_RECORDS), root=digest_pair)

BODIES = {
    "statement": fields(count=integer(1, 1000), key=key_name, root=digest_pair, signed_at=time, submitter=member_id,
                        v=VERSION),
    "batch": fields(first_received_at=time, last_received_at=time, node=member_id, registry_size=COUNTING, seq=COUNTING,
                    streams=fields(contract_=_stream, identity_=_stream, signing_=_stream), v=VERSION),
    "key": fields(action=one_of("register", "revoke"), key=key_name, member=member_id, public_key_=public_key(),
                  purpose_=one_of("submit", "read"), signed_at=time, v=VERSION),
    "receipt": fields(count=integer(1, MAX_BATCH_RECORDS), deadline=time, node=member_id, received_at=time,
                      root=digest_pair, sealed=fields(root=digest_pair, size=integer()), seq=COUNTING, v=VERSION),
}
LIMITS = {"statement": 4096, "batch": 65536, "key": 4096, "receipt": 4096}


@dataclass
class Signed:
    raw: bytes
    type: str
    body: dict
    body_raw: bytes
    sig: bytes

    def message(self, chain):
        return f"qifeng/{self.type}/v1\n{chain}\n".encode() + self.body_raw


def signed(data, kind):
    """A signed object of one type, whose signature is still to be checked."""
    value = read(data, LIMITS[kind])
    outer = fields(body=same, sig=hexbytes(64), type=one_of(kind))(value, kind)
    body = BODIES[kind](value["body"], kind + ".body")
    if kind == "batch":
        if not body["streams"]:
            raise Refused("batch.body.streams: is empty")
        if body["last_received_at"] < body["first_received_at"]:
            raise Refused("batch.body.last_received_at: is before first_received_at")
    if kind == "key" and not ("public_key" in body) == ("purpose" in body) == (body["action"] == "register"):
        raise Refused("key.body: public_key and purpose stand in a registration and in no revocation")
    if kind == "receipt" and not 0 <= body["deadline"] - body["received_at"] <= MAX_DEADLINE:
        raise Refused("receipt.body.deadline: is not within 30 days after received_at")
    return Signed(data, kind, body, write(value["body"]), outer["sig"])


_path = array(digest_pair, 0, 53)
_file = fields(
    anchors=anchors.listed(anchors.MAX_IN_FILE),
    batch_=fields(entry=string(8192), index=COUNTING, path=_path, stream_index=integer(0, MAX_BATCH_RECORDS - 1),
                  stream_path=_path),
    chain=chain_id,
    checkpoint_=text(24576),
    key_=fields(entry=string(8192), index=COUNTING, path=_path),
    receipt=fields(head=string(4096), index=integer(0, MAX_BATCH_RECORDS - 1), path=_path),
    record=string(4608),
    statement=fields(path=_path, signed=string(4096)),
    type=one_of("qifeng-proof"),
    v=VERSION)


class Proof:
    """A proof file whose parts have the right form; nothing is verified."""

    def __init__(self, data):
        part = _file(read_liberal(data, MAX_FILE), "proof")
        together = [name in part for name in ("batch", "checkpoint", "key")]
        if any(together) != all(together):
            raise Refused("proof: batch, checkpoint and key stand together or not at all")
        if part["anchors"] and not all(together):
            raise Refused("proof.anchors: a receipt file has none")
        self.part, self.chain, self.sealed = part, part["chain"], all(together)
        self.record_raw = part["record"].encode()
        value = read(self.record_raw)
        record = fields(intake=intake, submission=submission)(value, "record")
        self.intake, self.submission = record["intake"], record["submission"]
        self.submission_raw, self.shown = write(value["submission"]), value
        self.pair = digests.leaf(self.submission_raw)
        self.statement = signed(part["statement"]["signed"].encode(), "statement")
        self.receipt = signed(part["receipt"]["head"].encode(), "receipt")
        if self.sealed:
            self.batch = signed(part["batch"]["entry"].encode(), "batch")
            self.key = signed(part["key"]["entry"].encode(), "key")
            self.note = part["checkpoint"].encode()

    @property
    def stream(self):
        return KINDS[self.submission["kind"]][0]


_claim = fields(name=string(64, filled=True), salt=hexbytes(16), value=string(4096))
_claims = fields(claims=array(_claim, 1, 256), type=one_of("qifeng-claims"), v=VERSION)


def claims_root(data):
    """The root of a claims file, or Refused where the bytes are none."""
    value = read_liberal(data, MAX_CLAIMS_FILE)
    names = [c["name"] for c in _claims(value, "claims file")["claims"]]
    if len(set(names)) != len(names):
        raise Refused("claims file: a name stands there twice")
    return digests.root([digests.leaf(write(c)) for c in value["claims"]])
