#!/usr/bin/env bash
# 骑缝演示 · the newcomer's first command.
#
# Builds qifeng, starts a network of four members (court, notary, arbitration, vendor), preserves
# a contract, an identity check and a signing action, stops the network, verifies offline, changes
# one byte of a copy and shows that it fails. Leaves nothing behind but bin/qifeng. Exit code 0
# only if all of that held.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n\033[1m▸ %s\033[0m\n  %s\n' "$1" "$2"; }
die() {
  trap - ERR
  { tail -n 5 "$work"/devnet.err "$work"/net/*/log || true; } >&2 2>/dev/null
  printf '\n✗ 演示失败 · the demo FAILED: %s\n' "$*" >&2
  exit 1
}

work=$(mktemp -d)
net=""
# Ends only the supervisor that this script started; it ends its own members.
stop_net() {
  [ -n "$net" ] || return 0
  kill -TERM "$net" 2>/dev/null || true
  wait "$net" 2>/dev/null || true
  net=""
}
clean() { code=$?; stop_net; rm -rf "$work"; exit "$code"; }
trap clean EXIT
trap 'die "line $LINENO"' ERR
trap 'exit 130' INT
trap 'exit 143' TERM

say "编译 bin/qifeng" "building bin/qifeng"
go build -o bin/ .
qifeng="$PWD/bin/qifeng"

say "启动四成员网络：法院、公证处、仲裁委、平台，各为独立进程" \
    "starting four members: court, notary, arbitration, vendor; each its own process"
"$qifeng" devnet --dir "$work/net" --port 0 --lang en >"$work/devnet.out" 2>"$work/devnet.err" &
net=$!
for _ in $(seq 1200); do
  grep -q '^the network of four members is ready' "$work/devnet.out" && break
  kill -0 "$net" 2>/dev/null || { cat "$work/devnet.err" >&2; die "the network ended"; }
  sleep 0.1
done
grep '^  [a-z].* peer ' "$work/devnet.out" || { cat "$work/devnet.err" >&2; die "the network was not ready in time"; }
export QIFENG_HOME="$work/net/vendor-a"

contract="$work/合同.pdf"
cp test/testdata/contract-zh.pdf "$contract"
cp test/testdata/identity-person.json "$work/person.json"
cp test/testdata/signing-intent.json "$work/intent.json"

say "平台提交一份真实的 PDF 合同、一条身份核验记录、一条签署意愿记录（同一卷宗）；只发送摘要" \
    "the vendor preserves a real PDF contract, an identity check and a signing intent in one dossier; only digests are sent"
dossier=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
"$qifeng" submit "$work/person.json" --kind identity.person --method id_card --result passed \
  --dossier "$dossier" --step 1 --wait
"$qifeng" submit "$work/intent.json" --kind signing.intent --method sms_code --result passed \
  --dossier "$dossier" --step 2 --prev "$work/person.json.claims.json.qifeng.json" --wait
"$qifeng" submit "$contract" --kind contract.final \
  --dossier "$dossier" --step 3 --prev "$work/intent.json.claims.json.qifeng.json" --wait

# The court has its policy from the founding, not from the vendor.
cp "$work/net/court-a/policy.txt" "$work/court-policy.txt"

say "停止整个网络：以下验证不依赖任何服务器" "stopping the whole network: from here on no server is needed"
stop_net
if "$qifeng" status --timeout 2s >/dev/null 2>&1; then die "the network still answers"; fi

say "用法院自己持有的信任策略离线验证" "verifying offline with the trust policy that the court holds"
"$qifeng" verify "$contract" --policy "$work/court-policy.txt" || die "the contract's proof does not verify"
for f in person intent; do
  "$qifeng" verify "$work/$f.json.claims.json" --policy "$work/court-policy.txt" >/dev/null ||
    die "the proof of $f does not verify"
done

say "把合同副本改动一个字节，再验证一次：必须失败" "changing one byte of a copy and verifying again: it must fail"
cp "$contract" "$work/tampered.pdf"
byte=$(od -An -tu1 -j 1000 -N 1 "$work/tampered.pdf" | tr -d ' ')
printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$work/tampered.pdf" bs=1 seek=1000 conv=notrunc status=none
cmp -s "$contract" "$work/tampered.pdf" && die "the copy was not changed"
code=0
"$qifeng" verify "$work/tampered.pdf" --proof "$contract.qifeng.json" --policy "$work/court-policy.txt" || code=$?
[ "$code" = 1 ] || die "the changed copy ended with exit code $code, not 1"

cat <<'TEXT'

✓ 全部成立：合同、身份核验与签署意愿已由法院、公证处、仲裁委与平台会签；网络停止后仍可离线验证；改动一个字节即被发现。
✓ All of it held: contract, identity check and signing intent were sealed by court, notary, arbitration and
  vendor; they verify with every server stopped; one changed byte is found.

  接下来 · next:  bin/qifeng devnet      然后 · then:  bin/qifeng --help
TEXT
