#!/usr/bin/env bash
# 断电演练 · Cuts the power under an archive that is being loaded, N times (1000): all that was not durable may be gone.
# After each cut fsck, restart, fsck, and every receipt must be kept. Each number needs a hundredth of a second or so.
#
#   scripts/powercut.sh [N]                     prints its seed
#   QIFENG_POWERCUT_SEED=S scripts/powercut.sh  the same load and cuts again, as far as the scheduler lets them be the same
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
n=${1:-1000}
[[ $n =~ ^[1-9][0-9]*$ && $# -le 1 ]] || { echo "usage: scripts/powercut.sh [N]" >&2; exit 2; }
QIFENG_POWERCUTS=$n exec go test -count=1 -v -timeout 60m -run '^TestPowerCut$' ./archive
