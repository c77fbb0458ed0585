#!/usr/bin/env bash
# 模糊测试 · Fuzzes every decoder and verifier: each FuzzXxx of the module gets an equal share of the time.
#
#   scripts/fuzz.sh [SECONDS]      all of it, default 600 seconds
#
# Ends at the first finding, whose input the Go tool leaves in testdata/fuzz of the package, and
# prints how many inputs each target ran. What a run found interesting stays in Go's build cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

total=${1:-600}
[[ $total =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/fuzz.sh [SECONDS]" >&2; exit 2; }

# Only packages whose tests name a fuzz target are built: `go test -list` builds what it lists.
mapfile -t dirs < <(git grep -l -E '^func Fuzz[A-Z]' -- '*_test.go' | xargs -n1 dirname | sort -u)
targets=()
for dir in "${dirs[@]}"; do
  while read -r name; do
    targets+=("./$dir $name")
  done < <(git grep -h -o -E '^func Fuzz[A-Za-z0-9_]+' -- "$dir/*_test.go" ":!$dir/*/*" | sed 's/^func //' | sort -u)
done
[ "${#targets[@]}" -gt 0 ] || { echo "no fuzz target found" >&2; exit 1; }

share=$((total / ${#targets[@]}))
[ "$share" -ge 1 ] || share=1
echo "${#targets[@]} targets, ${share}s each"
for t in "${targets[@]}"; do
  read -r dir name <<<"$t"
  for try in 1 2 3; do
    # Minimising a large input takes longer than finding it: ten steps are enough to read it.
    out=$(go test "$dir" -run '^$' -fuzz "^$name\$" -fuzztime "${share}s" -fuzzminimizetime 10x 2>&1) && break
    # The Go tool sometimes fails a clean run whose last input was under way when the time was up.
    if [ "$try" -lt 3 ] && grep -q 'context deadline exceeded' <<<"$out" && ! grep -q 'Failing input' <<<"$out"; then
      continue
    fi
    printf '%s\n' "$out" >&2
    echo "FAILED: $dir $name" >&2
    exit 1
  done
  printf '%-28s %-24s %s executions\n' "$dir" "$name" "$(grep -o 'execs: [0-9]*' <<<"$out" | tail -1 | cut -d' ' -f2)"
done
