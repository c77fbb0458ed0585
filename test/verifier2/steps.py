"""The steps, the result and the report (docs/spec/proof.md, verdict.md)."""

import anchors
import digests
import documents
import note
from canonical import NotPresent, Refused, write
from datetime import datetime, timedelta
from signatures import Disagree, verify

NAMES = ("chain", "content", "submission", "submitter", "receipt", "batch", "stream", "received-at", "ledger", "key",
         "statement", "checkpoint", "quorum", "pin", "times", "second-opinion", "anchors")
PROVED, FAILED, ABSENT = "proved", "failed", "not present"
FOUR_CENTURIES = 146097 * 86400 * 1000  # milliseconds
SECOND = 1000  # milliseconds: the tolerance between seals and other times


def need(condition, why):
    if not condition:
        raise Refused(why)


class Verification:
    """One proof under one policy, with the content, anchor roots and more anchors where they were given."""

    def __init__(self, proof, policy, content, roots=None, beside=()):
        self.proof, self.policy, self.content = proof, policy, content
        self.note = self.note_problem = None
        self.disagreed = False
        if proof.sealed and proof.chain == policy.chain:
            try:
                self.note = note.open_note(proof.note, policy)
            except (Refused, Disagree) as e:
                self.note_problem = str(e)
                self.disagreed = isinstance(e, Disagree)
        self.anchors = []
        if proof.chain == policy.chain:
            for anchor in anchors.together(proof.part["anchors"], list(beside)):
                self.anchors.append(anchors.judge(anchor, self.note, policy, roots))
                self.disagreed |= self.anchors[-1].disagreed
        self.steps = []
        for name in NAMES:
            self.steps.append((name, *self._outcome(name)))
        self.exit = self._exit()

    def _outcome(self, name):
        at = NAMES.index(name)
        if at >= 4 and self.proof.chain != self.policy.chain:
            return ABSENT, "the policy is of another chain"
        if 5 <= at <= 14 and not self.proof.sealed:
            return ABSENT, "the file holds a receipt only"
        try:
            return PROVED, getattr(self, "_" + name.replace("-", "_"))() or ""
        except NotPresent as e:
            return ABSENT, str(e)
        except Disagree as e:
            self.disagreed = True
            return FAILED, str(e)
        except Refused as e:
            return FAILED, str(e)

    def _exit(self):
        failed = {name for name, outcome, _ in self.steps if outcome == FAILED}
        if failed - {"chain", "quorum"}:
            return 1
        return 3 if failed or not self.proof.sealed else 0

    # what several steps need

    def _member(self, name, entry):
        epoch = self.policy.epochs[-1] if entry is None else self.policy.epoch_of(entry + 1)
        need(epoch, f"the policy has no epoch for entry {entry}")
        member = epoch.member(name)
        need(member, f"the policy knows no member {name}")
        return member

    def _signed_by(self, signed, key):
        need(verify(key, signed.message(self.policy.chain), signed.sig), f"the signature of the {signed.type} does not verify")

    def _leaf(self, data, index, size, path, root):
        problem = digests.included(digests.leaf(data), index, size, path, root)
        need(problem is None, problem)
        if digests.half_root(digests.sm3_python, data, index, size, path) != root["sm3"]:
            raise Disagree("the two implementations of SM3 differ")

    def _entry(self, part):
        need(self.note, "the checkpoint cannot be opened")
        self._leaf(part["entry"].encode(), part["index"], self.note.size, part["path"], self.note.root)

    # the steps

    def _chain(self):
        need(self.proof.chain == self.policy.chain, f"the proof is of {self.proof.chain}, the policy of {self.policy.chain}")

    def _content(self):
        s = self.proof.submission
        if s["kind"] == "dossier.close" or self.content is None:
            raise NotPresent("no content to compare")
        if "digest" not in s:
            need(documents.claims_root(self.content) == s["claims"], "the claims file is not the recorded one")
            return
        pair = digests.plain(self.content)
        need(pair == s["digest"], "the content is not the recorded one")
        need(s.get("size", len(self.content)) == len(self.content), "the content has another size")

    def _submission(self):
        p = self.proof
        need(digests.plain(p.statement.raw) == p.intake["statement"], "the record commits to another statement")
        body = p.statement.body
        self._leaf(p.submission_raw, p.intake["index"], body["count"], p.part["statement"]["path"], body["root"])

    def _submitter(self):
        a, b = self.proof.submission, self.proof.statement.body
        need((a["submitter"], a["key"]) == (b["submitter"], b["key"]), "statement and submission name different submitters or keys")

    def _receipt(self):
        p, head = self.proof, self.proof.receipt.body
        need(head["node"] == p.intake["node"], "the receipt is of another node")
        self._signed_by(p.receipt, self._member(head["node"], p.part["batch"]["index"] if "batch" in p.part else None).keys["intake"])
        part = p.part["receipt"]
        self._leaf(p.record_raw, part["index"], head["count"], part["path"], head["root"])

    def _batch(self):
        p, header = self.proof, self.proof.batch.body
        need(header["node"] == p.intake["node"], "the batch is of another node")
        need(header["seq"] == p.receipt.body["seq"], "the receipt promises another batch")
        self._signed_by(p.batch, self._member(header["node"], p.part["batch"]["index"]).keys["intake"])

    def _stream(self):
        p, part = self.proof, self.proof.part["batch"]
        stream = p.batch.body["streams"].get(p.stream)
        need(stream, f"the batch has no stream {p.stream}")
        self._leaf(p.record_raw, part["stream_index"], stream["count"], part["stream_path"], stream["root"])

    def _received_at(self):
        p, at = self.proof, self.proof.intake["received_at"]
        need(p.batch.body["first_received_at"] <= at <= p.batch.body["last_received_at"], "not received while the batch was open")
        need(at <= p.receipt.body["received_at"], "received after its receipt")

    def _ledger(self):
        part = self.proof.part["batch"]
        self._entry(part)
        need(self.proof.batch.body["registry_size"] <= part["index"], "the batch was checked against entries that come after it")

    def _key(self):
        p, entry, part = self.proof, self.proof.key.body, self.proof.part["key"]
        need(entry["action"] == "register", "the key entry is no registration")
        need(entry["purpose"] == "submit", "the key is not for submitting")
        s = p.submission
        need((entry["member"], entry["key"]) == (s["submitter"], s["key"]), "the key entry is of another key")
        need(part["index"] < p.batch.body["registry_size"], "the key was registered after the batch was checked")
        self._signed_by(p.key, self._member(entry["member"], part["index"]).keys["admin"])
        self._entry(part)

    def _statement(self):
        key = self.proof.key.body.get("public_key")
        need(key, "the key entry holds no key")
        self._signed_by(self.proof.statement, key)

    def _checkpoint(self):
        need(self.note, self.note_problem)

    def _quorum(self):
        if not self.note:
            raise NotPresent("the checkpoint cannot be opened")
        need(self.note.sealed_time is not None, "the seals do not meet the quorum")

    def _pin(self):
        if not self.note or self.note.size not in self.note.epoch.pins:
            raise NotPresent("the policy pins no root at this size")

    def _times(self):
        received, captured = self.proof.intake["received_at"], self.proof.submission["captured_at"]
        if not self.note or self.note.sealed_time is None:
            raise NotPresent("there is no sealed time")
        if received > self.note.sealed_time * 1000 + SECOND:
            raise NotPresent("received after the sealed time")
        if captured > received + SECOND:
            raise NotPresent("captured after it was received")
        for a, what in anchors.impossible(self.anchors, received):
            raise NotPresent(f"{a.label} states a time earlier than {what}")

    def _second_opinion(self):
        need(not self.disagreed, "TWO IMPLEMENTATIONS DISAGREE: rely on neither")

    def _anchors(self):
        said = "; ".join(f"{a.label} {a.outcome}: {a.detail}" for a in self.anchors)
        outcomes = {a.outcome for a in self.anchors}
        need(FAILED not in outcomes, said)
        if PROVED not in outcomes:
            raise NotPresent(said or "no anchor outside the consortium")
        return said

    # the report

    def report(self, policy_bytes, roots_bytes=None):
        p = self.proof
        result = {0: "proved", 1: "false", 3: "not proved"}[self.exit]
        shown = p.shown["submission"]
        times = {"captured_at": shown["captured_at"], "received_at": p.shown["intake"]["received_at"],
                 "signed_at": stamp(p.statement.body["signed_at"])}
        if self.note and self.note.sealed_time is not None:
            times["sealed"] = stamp(self.note.sealed_time * 1000)
        out = {}
        if self.anchors:
            out["anchors"] = [stamped(a.report(), "time") for a in self.anchors]
            if "sealed" in times:
                found = anchors.bracket(self.anchors, p.intake["received_at"], self.note.sealed_time)
                out["bracket"] = stamped(found, "not_later_than")
        if roots_bytes is not None:
            out["roots"] = hexpair(roots_bytes)
        return out | {
            "exit": self.exit, "id": p.pair["sm3"].hex(), "kind": shown["kind"],
            "ledger_size": self.note.size if self.note else 0, "limits": limits(result, self.anchors), "node": p.intake["node"],
            "policy": {"chain": self.policy.chain} | hexpair(policy_bytes),
            "result": result,
            "seals": [{"member": m.id, "role": m.role, "time": stamp(t * 1000)} for m, t in (self.note.seals if self.note else [])],
            "steps": [{"detail": {"en": detail}, "name": name, "outcome": outcome} for name, outcome, detail in self.steps],
            "submitter": shown["submitter"], "times": times, "verdict": self.verdict(result),
        }

    def verdict(self, result):
        compared = ("content", PROVED) in [step[:2] for step in self.steps]
        en, zh = VERDICTS[result, compared or result != "proved"]
        return {"en": en, "zh": zh}


VERDICTS = {
    ("proved", True): ("unchanged since it went on the chain", "上链后未经篡改"),
    ("proved", False): ("the record is unchanged since it went on the chain (no content was compared)",
                        "记录上链后未经篡改（未比对原文）"),
    ("false", True): ("FALSE: the content or the proof is not true; see the steps that failed",
                      "验证不通过：原文或证明不真实，见上述“不成立”各项"),
    ("not proved", True): ("NOT PROVED: nothing is false, but the seal quorum of the given policy does not vouch for it",
                           "未能证明：没有发现虚假之处，但给定信任策略的会签门槛未能证实它"),
}
UNCHANGED = ("that it is unchanged since it went on the chain", "上链后未经篡改")
LIMITS = (
    ("that the content was true before it went on the chain: its making and keeping need evidence of their own",
     "内容在上链之前是否真实（生成、存储过程须另行证明）"),
    ("that the identities, intents and results that the record states are true: only that they were stated by then",
     "记录所称的人员身份、签署意愿及核验结果是否属实（此处只证明该说法何时存在）"),
    ("that the submitter's key was not revoked or stolen: nodes check it at intake, this file holds no proof of it",
     "提交方密钥在签署时未被撤销或盗用（节点受理时查验，本文件不含其证明）"),
    ("legal time: seal times are the members' own clocks, not those of a time-stamp authority",
     "法定时间：会签时间来自各成员自己的时钟，并非国家授时或时间戳机构的时间"),
)


LEGAL_WITH_STAMP = (
    "legal time: a time-stamp shows only that the record existed at the time that its authority states, not when it was made; "
    "whether the law recognises that authority is not proved; seal times are the members' own clocks",
    "法定时间：时间戳只表明记录在时间戳机构所示的时间已存在，并不表明它何时产生；该机构是否具备法定资质须另行查明；会签时间来自各成员自己的时钟")
OF_FABRIC = ("that any time in a Fabric ledger is legal time: Fabric states none, the times of transactions and blocks are their "
             "submitters' claims", "Fabric 账本中的任何时间是法定时间：Fabric 不证明时间，交易与区块的时间只是提交方所称")
OF_WITNESS = ("that a C2SP witness checked the SM3 half: it vouches for the SHA-256 half only",
              "C2SP 见证者查验过 SM3 半部：其见证仅及 SHA-256 半部")


def limits(result, judged):
    proved = {a.kind for a in judged if a.outcome == PROVED}
    lines = list(LIMITS)
    if result == "proved" and "rfc3161" in proved:
        lines[-1] = LEGAL_WITH_STAMP
    lines += [line for kind, line in (("fabric", OF_FABRIC), ("witness", OF_WITNESS)) if kind in proved]
    if result != "proved":
        lines.insert(0, UNCHANGED)
    return [{"en": en, "zh": zh} for en, zh in lines]


def hexpair(data):
    return {half: digest.hex() for half, digest in digests.plain(data).items()}


def stamped(part, name):
    """The same with one time, if it is there, as the report spells it."""
    return part | ({name: stamp(part[name])} if name in part else {})


def stamp(ms):
    """A time of this specification, from milliseconds since 1970.

    Years above 9999, which a seal may claim, have as many digits as they need.
    """
    ages, rest = divmod(ms, FOUR_CENTURIES)  # the calendar repeats every 400 years
    t = datetime(1970, 1, 1) + timedelta(milliseconds=rest)
    return f"{t.year + 400 * ages:04d}" + t.strftime("-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def report_bytes(report):
    return write(report)
