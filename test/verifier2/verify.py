#!/usr/bin/env python3
"""The second verifier of Qifeng proofs.

Written from docs/spec alone, in the standard library of Python 3 and the
openssl program: it shares no code with the Go verifier, so that a court's
verdict does not hang on one program. It makes no network call.

    verify.py [FILE] --proof P --policy POLICY [--anchor-roots R] [--anchors A] [--json] [--lang zh|en]
    verify.py --vectors FOLDER

FILE is the content; without it, or where it is a proof file itself, none is
compared. --proof is FILE.qifeng.json unless stated. Without --anchor-roots, which
come from the court's own hands like the policy, no anchor is checked; --anchors is
a companion file with more of them. Exit codes: 0 proved, 1 the content or the
proof is false, 2 usage or unreadable input, 3 consistent but not proved.
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True

import anchors
import digests
import documents
import policy
import signatures
import steps
from canonical import Refused

WORDS = {
    "zh": {"proved": "成立", "failed": "不成立", "not present": "未证明",
           "": ("未证明的事项：", "不晚于：{}（{}；各来源相差 {} 毫秒）", "结论：", "信任策略", "锚定信任根")},
    "en": {"proved": "proved", "failed": "FAILED", "not present": "not present",
           "": ("NOT proved by this report:", "Not later than: {} ({}; sources {} ms apart)", "VERDICT: ", "trust policy", "anchor roots")},
}


def judge(content, proof_bytes, policy_bytes, roots_bytes=None, beside_bytes=None):
    """The verification, or Refused where an input cannot be read."""
    trusted, proof = policy.parse(policy_bytes), documents.Proof(proof_bytes)
    roots = anchors.Roots(roots_bytes) if roots_bytes is not None else None
    beside = anchors.companion(beside_bytes, proof) if beside_bytes is not None else []
    return steps.Verification(proof, trusted, content, roots, beside)


def load(path):
    with open(path, "rb") as f:
        return f.read()


def show(v, report, lang):
    words = WORDS[lang]
    print(f"{report['id']} {report['kind']} {report['submitter']} -> {report['node']}")
    for name, outcome, detail in v.steps:
        print(f"  [{words[outcome]}] {name}" + (f": {detail}" if detail else ""))
    for a in report.get("anchors", []):
        time = f" {a['time']}" + (f" ± {a['accuracy_ms']} ms" if "accuracy_ms" in a else "") if "time" in a else ""
        print(f"  [{words[a['outcome']]}] {a['kind']}/{a['name']} {a['size']}{time}: {a['detail']['en']}")
    not_proved, by, verdict, trusted, outside = words[""]
    for what, part in ((trusted, report["policy"]), (outside, report.get("roots"))):
        if part:
            print(f"{what}: sm3 {part['sm3']} sha256 {part['sha256']}")
    if "bracket" in report:
        b = report["bracket"]
        print(by.format(b["not_later_than"], b["source"], b["spread_ms"]))
        for order in b["impossible"]:
            print(f"  ! {order['anchor']} < {order['earlier_than']}")
    print(not_proved)
    for line in report["limits"]:
        print(f"  - {line[lang]}")
    print(verdict + report["verdict"][lang])


def run(args):
    content_path, proof_path = args.file, args.proof
    if content_path and not proof_path:
        proof_path = content_path + ".qifeng.json"
        if content_path.endswith(".qifeng.json") and not os.path.exists(proof_path):
            content_path, proof_path = None, content_path
    if not proof_path or not args.policy:
        raise Refused("a policy and a proof are needed, see --help")
    content = load(content_path) if content_path else None
    policy_bytes = load(args.policy)
    roots_bytes, beside_bytes = (load(path) if path else None for path in (args.anchor_roots, args.anchors))
    v = judge(content, load(proof_path), policy_bytes, roots_bytes, beside_bytes)
    report = v.report(policy_bytes, roots_bytes)
    if args.json:
        sys.stdout.buffer.write(steps.report_bytes(report) + b"\n")
    else:
        show(v, report, args.lang)
    return v.exit


def main():
    parser = argparse.ArgumentParser(description="Verify a Qifeng proof offline.")
    parser.add_argument("file", nargs="?", help="the content")
    parser.add_argument("--proof", help="proof file (default FILE.qifeng.json)")
    parser.add_argument("--policy", help="trust policy")
    parser.add_argument("--anchor-roots", help="anchor roots, without which no anchor is checked")
    parser.add_argument("--anchors", help="companion file with more anchors")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--lang", choices=("zh", "en"), default="zh")
    parser.add_argument("--vectors", metavar="FOLDER", help="answer all vectors of a folder, as JSON")
    args = parser.parse_args()
    try:
        if digests.sm3(b"abc").hex() != "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0":
            raise OSError("SM3 is wrong")
        signatures.try_openssl()
        if args.vectors:
            import vectors
            return vectors.answer(args.vectors)
        return run(args)
    except (Refused, OSError) as e:
        print(f"verify.py: {e}", file=sys.stderr)
        return 2
    except Exception as e:  # a fault of this program is no verdict: exit code 1 would be one
        print(f"verify.py: this program has a fault: {type(e).__name__}: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
