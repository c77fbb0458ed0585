#!/usr/bin/env bash
# 压测 · Measures what one node takes in, on this machine, with the chain of four members running.
#
#   scripts/bench.sh               all loads of docs/performance.md, about six minutes
#   scripts/bench.sh --quick       the same loads, shorter: within 50 seconds of a warm build
#   scripts/bench.sh --compare     Tessera POSIX and this node, in turns, in one run
#   scripts/bench.sh --size N      the rate with none and with N million records stored, and look-ups
#   scripts/bench.sh --soak S      100 records a request for S seconds: the node's memory
#   scripts/bench.sh --publish DIR write the tables of an earlier run into docs/performance.md
#   scripts/bench.sh --out DIR     where to put the raw results, default bench-results/<time>
#
# Builds bin/qifeng, measures what the machine can do at most (hash, verify, fsync, echo), starts a
# fresh network of four processes on the disk of the results, loads it, and stops it. Prints a table,
# the machine, the commit and the commands. The last line is one JSON object, all of it measured in
# this run. Exit code 1 if a part failed or an acknowledged record did not keep its promise.
#
# The network is configured as `qifeng devnet` makes it: no limit is lifted (docs/performance.md).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=full out="" size=0 soak=0
while [ "$#" -gt 0 ]; do
  case "$1" in
    --quick) mode=quick ;;
    --compare) mode=compare ;;
    --size) mode=size size=${2:?"--size needs a number of millions"}; shift ;;
    --soak) mode=soak soak=${2:?"--soak needs a number of seconds"}; shift ;;
    --publish) mode=publish out=${2:?"--publish needs a folder"}; shift ;;
    --out) out=${2:?"--out needs a folder"}; shift ;;
    *) sed -n '2,11p' "$0" >&2; exit 2 ;;
  esac
  shift
done
[[ $size =~ ^[0-9]+$ && $soak =~ ^[0-9]+$ ]] || { echo "--size and --soak take whole numbers" >&2; exit 2; }

if [ "$mode" = publish ]; then
  go build -o bin/ .
  tables=$(bin/qifeng bench table "$out" --partial --markdown --lang en)
  page=$(TABLES="$tables" awk '
    /^<!-- \/table -->$/ { skip = 0; print "" }
    !skip
    /^<!-- table -->$/ { skip = 1; print ""; print ENVIRON["TABLES"] }' docs/performance.md)
  printf '%s\n' "$page" >docs/performance.md
  exit
fi

commit=$(git describe --always --abbrev=12 --dirty 2>/dev/null || echo unknown)
out=${out:-bench-results/$(date -u +%Y%m%dT%H%M%SZ)}
mkdir -p "$out"
[ -z "$(ls -A "$out")" ] || { echo "$out is not empty" >&2; exit 2; }
work="$out/work" && mkdir -m 700 "$work" # beside the results: the same disk, never a memory file system by chance
qifeng=bin/qifeng
started=() failed=""

say() { printf '▸ %s\n' "$*" >&2; }
# Ends only what this script has started, each by its process id.
stop() {
  local pid
  for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  started=()
}
clean() { code=$?; stop; rm -rf "$work"; exit "$code"; }
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_for FILE PATTERN PID: until a started program has said that it is ready.
wait_for() {
  for _ in $(seq 1200); do
    grep -q "$2" "$1" 2>/dev/null && return
    kill -0 "$3" 2>/dev/null || break
    sleep 0.05
  done
  echo "not ready: $1" >&2
  tail -n 5 "$1" >&2 || true
  return 1
}

# pid_of HOME: the process of a member, a child of the network's supervisor.
pid_of() {
  local dir
  for dir in /proc/[0-9]*; do
    if tr '\0' ' ' <"$dir/cmdline" 2>/dev/null | grep -qF -- " start --home $1 "; then echo "${dir#/proc/}"; return; fi
  done
  echo "no process of $1" >&2
  return 1
}

# part COMMAND…: a failure is remembered, and the other parts still run.
part() { "$@" >&2 || { echo "FAILED: $*" >&2; failed=1; }; }

load() { # name, options of qifeng bench…
  local name=$1
  shift
  say "$name: qifeng bench $*"
  part "$qifeng" bench --home "$net/vendor-a" --pid "$pids" --chain-dir "$net/vendor-a/data/chain" \
    --name "$name" --json "$out/$name.json" --commit "$commit" --lang en "$@"
}

echo_server() { # seconds, connections
  "$qifeng" bench echo >"$work/echo" & started+=($!)
  local pid=$!
  wait_for "$work/echo" http "$pid"
  say "echo: $2 connections"
  part "$qifeng" bench plain "$(cat "$work/echo")" --connections "$2" --bytes 900 --duration "$1s" --warmup 500ms \
    --pid "$pid" --name echo --json "$out/echo.json" --commit "$commit" --lang en
  kill -TERM "$pid"
  wait "$pid" 2>/dev/null || true
}

network() {
  say "a network of four members, each its own process"
  net=$(mktemp -d "$work/net.XXXX")
  "$qifeng" devnet --dir "$net" --port 0 --lang en >"$work/net.out" 2>"$work/net.err" & started+=($!)
  wait_for "$work/net.out" '^the network of four members is ready' "$!" || { cat "$work/net.err" >&2; exit 1; }
  pids=$(pid_of "$net/vendor-a")
  for member in court-a notary-a arbitration-a; do pids+=,$(pid_of "$net/$member"); done
}

say "building bin/qifeng at $commit"
go build -o bin/ .

limits() { # seconds each
  say "limits of this machine"
  part "$qifeng" bench limits --dir "$work" --each "$1" --json "$out/limits.json" --commit "$commit" --lang en
}

case "$mode" in
quick)
  limits 600ms
  echo_server 2 256
  network
  load latency100 --records 100 --connections 32 --rate 10000 --duration 5s --warmup 1s --sample 1 --samples-per-second 40
  load single --records 1 --connections 256 --duration 4s --warmup 1s --samples-per-second 10
  load batch100 --records 100 --connections 24 --duration 6s --warmup 1s --samples-per-second 10
  load batch1000 --records 1000 --connections 8 --duration 4s --warmup 1s --sample 1 --samples-per-second 10
  ;;
full)
  limits 2s
  echo_server 10 256
  network
  load latency100 --records 100 --connections 64 --rate 10000 --duration 30s --sample 1
  load latency1000 --records 1000 --connections 32 --rate 13000 --duration 60s --sample 0.25
  load latency-single --records 1 --connections 128 --rate 600 --duration 30s --sample 1
  load single --records 1 --connections 256 --duration 30s --samples-per-second 10
  load batch100 --records 100 --connections 24 --duration 60s --samples-per-second 10 --lookups 1000
  load batch1000 --records 1000 --connections 8 --duration 30s --sample 1 --samples-per-second 10
  ;;
size)
  limits 1s
  network
  # A fresh network before and after the filled one: what differs between those two is the machine.
  load size-0 --records 100 --connections 24 --duration 15s --lookups 1000
  load size-fill --records 1000 --connections 8 --duration 6h --warmup 0s --total "${size}000000" --samples-per-second 2 --lookups 2000
  load size-"$size"M --records 100 --connections 24 --duration 15s
  sleep 45 # the index goes on merging what came in at full speed
  load size-"$size"M-rested --records 100 --connections 24 --duration 15s --lookups 2000
  stop
  network
  load size-0-again --records 100 --connections 24 --duration 15s --lookups 1000
  ;;
soak)
  network
  load soak --records 100 --connections 24 --duration "${soak}s" --samples-per-second 5
  ;;
compare)
  say "building Tessera POSIX"
  to=$(realpath "$work")
  (cd test/compare && go build -o "$to/tessera" github.com/transparency-dev/tessera/cmd/conformance/posix && go build -o "$to/key" .)
  (umask 077 && "$work/key" >"$work/tessera.key")
  network
  for turn in 1 2 3; do
    "$work/tessera" --storage_dir="$work/tessera-$turn" --listen=127.0.0.1:$((20000 + RANDOM % 9000)) \
      --private_key="$work/tessera.key" >"$work/tessera-$turn.out" 2>&1 & started+=($!)
    pid=$!
    wait_for "$work/tessera-$turn.out" 'WRITE_URL=' "$pid"
    sleep 0.5 # it says so before it listens
    address=$(sed -n 's|^export WRITE_URL=http://localhost\(.*\)/ $|\1|p' "$work/tessera-$turn.out")
    say "turn $turn: Tessera at $address"
    part "$qifeng" bench plain "http://$address/add" --connections 256 --bytes 538 --duration 10s \
      --pid "$pid" --name "tessera-$turn" --json "$out/tessera-$turn.json" --commit "$commit" --lang en
    kill -TERM "$pid"
    wait "$pid" 2>/dev/null || true
    load "ours-single-$turn" --records 1 --connections 256 --duration 10s
    load "ours-batch100-$turn" --records 100 --connections 24 --duration 10s
  done
  ;;
esac
stop

table() { "$qifeng" bench table "$out" --lang en "$@"; }
[ "$mode" = quick ] || [ "$mode" = full ] || partial=--partial
table --markdown ${partial:-} >"$out/table.md" || true
table ${partial:-} || failed=1
[ -z "$failed" ]
