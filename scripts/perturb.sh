#!/usr/bin/env bash
# 扰动演练 · Four real members under load, hurt at random for 30 minutes: kill -9, pause, restart, cut links, two at once.
# Never two sealed roots for one size; every receipt kept; every old proof verifies; fsck of all four homes at the end.
#
#   scripts/perturb.sh [--quick]                 --quick: under five minutes. The last line is the figures as JSON
#   QIFENG_PERTURB_SEED=S scripts/perturb.sh     the same faults in the same order
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
length=30m
case "${1:-}" in
  "") ;;
  --quick) length=150s ;;
  *) echo "usage: scripts/perturb.sh [--quick]" >&2; exit 2 ;;
esac
figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
QIFENG_PERTURB=$length QIFENG_PERTURB_JSON=$figures go test -count=1 -v -timeout 90m -run '^TestPerturb$' ./test/drills
cat "$figures"
