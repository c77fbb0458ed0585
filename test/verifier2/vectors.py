"""Answers all vectors of a folder in one process, for a program to compare.

A table that is not in the folder has no answers.
"""

import base64
import json
import os
import sys

import canonical
import digests
import note
import policy
import verify
from canonical import Refused


def _try(f, *args):
    """(True, result), or (False, None) where the input is refused."""
    try:
        return True, f(*args)
    except Refused:
        return False, None


def _pair(p):
    return {half: bytes.fromhex(p[half]) for half in digests.HALVES}


def _document(case):
    data = base64.b64decode(case["data"])
    if case["reading"] == "strict":
        return _try(canonical.read, data)[0]
    ok, value = _try(canonical.read_liberal, data, 65536)
    return ok and canonical.write(value) == base64.b64decode(case.get("canonical", ""))


def _inclusion(case):
    path = [_pair(p) for p in case["path"]]
    return digests.included(_pair(case["leaf"]), case["index"], case["size"], path, _pair(case["root"])) is None


def _consistency(case):
    path = [_pair(p) for p in case["path"]]
    return digests.consistent(case["m"], case["n"], _pair(case["old"]), _pair(case["new"]), path) is None


def _roots(roots):
    leaves = [digests.leaf(str(i).encode()) for i in range(len(roots))]
    return [digests.root(leaves[:n]) == _pair(want) for n, want in enumerate(roots)]


def _policies(trial):
    for case in trial["cases"]:
        data = trial["base"]
        for old, new in case.get("replace", []):
            data = data.replace(old, new, 1)
        yield _try(policy.parse, (data + case.get("append", "") * case.get("repeat", 1)).encode())[0]


def answer(folder):
    def load(name):
        return verify.load(os.path.join(folder, name))

    def table(name, empty=()):
        return json.loads(load(name)) if os.path.exists(os.path.join(folder, name)) else empty

    def opened(case):
        ok, got = _try(note.open_note, base64.b64decode(case["note"]), policy.parse(load(case["policy"])))
        counted = [m.id for m, _ in got.seals] if ok else []
        return {"open": ok, "counted": counted, "sealed_time": got.sealed_time or 0 if ok else 0}

    def judged(case):
        content = load(case["content"]) if case["content"] is not None else None
        policy_bytes = load(case["policy"])
        ok, v = _try(verify.judge, content, load(case["proof"]), policy_bytes)
        if not ok:
            return {"exit": 2, "report": None}
        return {"exit": v.exit, "report": v.report(policy_bytes)}

    def anchored(case):
        """Without content; roots and companion may be null."""
        roots, beside = (load(case[name]) if case[name] is not None else None for name in ("roots", "beside"))
        policy_bytes = load(case["policy"])
        ok, v = _try(verify.judge, None, load(case["proof"]), policy_bytes, roots, beside)
        return {"exit": v.exit, "report": v.report(policy_bytes, roots)} if ok else {"exit": 2, "report": None}

    trees = table("merkle.json", {"roots": [], "inclusion": [], "consistency": []})
    json.dump({
        "canonical-json": [_document(c) for c in table("canonical-json.json")],
        "merkle-roots": _roots(trees["roots"]),
        "merkle-inclusion": [_inclusion(c) for c in trees["inclusion"]],
        "merkle-consistency": [_consistency(c) for c in trees["consistency"]],
        "policy": list(_policies(table("policy.json", {"cases": []}))),
        "note": [opened(c) for c in table("note.json")],
        "proofs": [judged(c) for c in table("proofs.json")],
        "anchors": [anchored(c) for c in table("anchors.json")],
        "sm3": digests.sm3_python(b"abcd" * 16).hex(),
    }, sys.stdout)
    print()
    return 0
