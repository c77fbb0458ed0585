#!/usr/bin/env bash
# 长测演练 · The long drills, which are too long for `go test ./...`. Each prints what it measured.
#
#   scripts/drills.sh [NAME…]      all of them, or those named
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

drills=()

# --- floods: every door is flooded while records are submitted and sealed; about four minutes.
drills+=(floods)
floods() { QIFENG_FLOODS=long go test -count=1 -v -timeout 15m -run '^TestFloods$' ./test/floods; }

# --- members: one is killed between guard and send, put back from a copy, slow, away; about ten minutes.
drills+=(members)
members() { QIFENG_DRILLS=long go test -count=1 -v -timeout 40m -run '^Test(Killed|Home|Guard|Slow)' ./test/drills; }

# --- runbooks: corrupt files and lost keys, mended as docs/operations.md says; a minute.
drills+=(runbooks)
runbooks() { QIFENG_DRILLS=long go test -count=1 -v -timeout 15m -run '^TestRunbook' ./test/drills; }

# --- clocks: a whole process with a wrong clock; builds the standard library anew; about five minutes.
drills+=(clocks)
clocks() { QIFENG_DRILLS=long go test -count=1 -v -timeout 30m -run '^TestSkewed' ./test/drills; }

# --- anchors: a Fabric network, a time-stamp authority and a witness away for a minute each, overlapping; five minutes.
#     Builds Fabric's programs the first time, and wants sqlite3. QIFENG_DRILL_OUTAGE=15s is a short one.
drills+=(anchors)
anchors() { QIFENG_DRILLS=long QIFENG_NEED_FABRIC=1 CI=1 go test -count=1 -v -timeout 20m -run '^TestAnchorsOutage$' ./test/drills; }

# --- anchorcost: the intake rate with three anchors, with three that hang, and without, in turns; five minutes.
#     The figures mean something on a machine that does nothing else. QIFENG_DRILL_TURN=2s makes turns shorter.
drills+=(anchorcost)
anchorcost() { QIFENG_DRILLS=long QIFENG_NEED_FABRIC=1 CI=1 go test -count=1 -v -timeout 30m -run '^TestAnchorsCost$' ./test/drills; }

[ "$#" -gt 0 ] || set -- "${drills[@]}"
for name in "$@"; do
  [[ " ${drills[*]} " == *" $name "* ]] || { echo "no drill $name; there are: ${drills[*]}" >&2; exit 2; }
done
for name in "$@"; do
  echo "== $name"
  "$name"
done
