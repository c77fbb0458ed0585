#!/usr/bin/env bash
# 锚定演示 · anchoring in Hyperledger Fabric, from nothing to a verdict without a network.
#
# Builds qifeng, the chaincode and Fabric's own programs (two to five minutes the first time, cached by
# version), starts a network of four members and a real Fabric network with two organisations, each
# with a chaincode process and a trust policy of its own; preserves a contract, anchors the checkpoint
# that covers it, fetches the proof with the receipt, stops everything, verifies offline, and shows that a
# changed receipt and a changed contract fail. Exit code 0 only if all of that held.
#
#   scripts/fabric-demo.sh          one raft orderer
#   scripts/fabric-demo.sh --bft    four SmartBFT orderers
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=()
case "${1:-}" in
  "") ;;
  --bft) options+=(--bft) ;;
  *) sed -n '2,11p' "$0" >&2; exit 2 ;;
esac

say() { printf '\n\033[1m▸ %s\033[0m\n  %s\n' "$1" "$2"; }
die() {
  trap - ERR
  { tail -n 5 "$work"/devnet.err "$work"/net/*/log || true; } >&2 2>/dev/null
  printf '\n✗ 演示失败 · the demo FAILED: %s\n' "$*" >&2
  exit 1
}

work=$(mktemp -d)
net="" fabric=""
# Ends only the supervisor that this script started; it ends its own members.
stop_net() {
  [ -n "$net" ] || return 0
  kill -TERM "$net" 2>/dev/null || true
  wait "$net" 2>/dev/null || true
  net=""
}
stop_fabric() {
  [ -n "$fabric" ] || return 0
  scripts/fabric-net.sh down --dir "$fabric" >&2
  fabric=""
}
clean() { code=$?; stop_net; stop_fabric; rm -rf "$work"; exit "$code"; }
trap clean EXIT
trap 'die "line $LINENO"' ERR
trap 'exit 130' INT
trap 'exit 143' TERM

start_net() {
  "$qifeng" devnet --dir "$work/net" --port 0 --lang en >"$work/devnet.out" 2>"$work/devnet.err" &
  net=$!
  for _ in $(seq 1200); do
    grep -q '^the network of four members is ready' "$work/devnet.out" && return
    kill -0 "$net" 2>/dev/null || { cat "$work/devnet.err" >&2; die "the network ended"; }
    sleep 0.1
  done
  die "the network was not ready in time"
}

say "编译 bin/qifeng、链码与 Fabric 自己的程序（首次约两至五分钟）" \
    "building bin/qifeng, the chaincode and Fabric's own programs (two to five minutes the first time)"
scripts/fabric-net.sh build >/dev/null
go build -o bin/ . ./anchor/fabric/chaincode
mv bin/chaincode bin/anchorcc
qifeng="$PWD/bin/qifeng"

say "启动四成员网络：法院、公证处、仲裁委、平台" "starting four members: court, notary, arbitration, vendor"
start_net
export QIFENG_HOME="$work/net/vendor-a"
# Whoever judges has the policy from the founding, not from the vendor.
cp "$work/net/court-a/policy.txt" "$work/court-policy.txt"
chain=$(sed -n 's/^chain //p' "$work/court-policy.txt")

say "启动真实的 Fabric 网络：两个组织，各有链码进程与自己的信任策略" \
    "starting a real Fabric network: two organisations, each with a chaincode process and a trust policy of its own"
mkdir "$work/policies"
cp "$work/court-policy.txt" "$work/policies/$chain.txt"
printf 'qifeng-writers/v1\nqifeng/%s Org1MSP\n' "$chain" >"$work/writers.txt"
fabric="$work/fabric"
scripts/fabric-net.sh up --dir "$fabric" --owner $$ --anchorcc bin/anchorcc --policies "$work/policies" --writers "$work/writers.txt" "${options[@]}"

say "给平台节点配置锚定，取得并钉住通道的信任根，做一次真实往返" \
    "configuring the vendor's node, pinning the channel, making one real round trip"
fact() { # a path in net.json, such as organisations 0 user key
  python3 -c 'import json, sys
v = json.load(open(sys.argv[1]))
for k in sys.argv[2:]: v = v[int(k) if k.isdigit() else k]
print(v)' "$fabric/net.json" "$@"
}
install -m 600 "$(fact organisations 0 user key)" "$work/fabric-user.key"
cat >>"$QIFENG_HOME/qifeng.toml" <<TOML

[anchor.justice]
kind = "fabric"
every = "2s"
endpoint = "$(fact organisations 0 peer endpoint)"
tls_ca = "$(fact organisations 0 peer tls_ca)"
tls_name = "$(fact organisations 0 peer tls_name)"
msp = "$(fact organisations 0 msp)"
cert = "$(fact organisations 0 user certificate)"
key = "$work/fabric-user.key"
channel = "$(fact channel)"
chaincode = "$(fact chaincode)"
TOML
"$qifeng" anchor roots
"$qifeng" config check
"$qifeng" anchor test justice
# The court compares the fingerprint and keeps its own copy.
cp "$QIFENG_HOME/anchor-roots.json" "$work/court-anchor-roots.json"

say "重启网络，提交一份真实的 PDF 合同，等到它被锚定" "restarting the network, preserving a real PDF contract, waiting until it is anchored"
stop_net
start_net
contract="$work/合同.pdf"
cp test/testdata/contract-zh.pdf "$contract"
"$qifeng" submit "$contract" --kind contract.final --anchored
"$qifeng" status --lang zh | grep -A3 justice || die "the status does not show the anchor"

say "停止全部：成员网络与 Fabric 网络" "stopping everything: the members and the Fabric network"
stop_net
stop_fabric
if "$qifeng" status --timeout 2s >/dev/null 2>&1; then die "the network still answers"; fi

judge() { # contract, proof
  "$qifeng" verify "$1" --proof "$2" --policy "$work/court-policy.txt" --anchor-roots "$work/court-anchor-roots.json"
}
say "离线验证：信任策略与锚定信任根均由法院自己持有" "verifying offline with the trust policy and the anchor roots that the court holds"
judge "$contract" "$contract.qifeng.json" || die "the proof does not verify"
judge "$contract" "$contract.qifeng.json" >"$work/report" 2>&1
grep -q 'Org1MSP' "$work/report" && grep -q 'Org2MSP' "$work/report" || die "the report does not name both organisations"

say "改动 Fabric 回执的一个字节：必须失败" "changing one byte of the Fabric receipt: it must fail"
python3 - "$contract.qifeng.json" "$work/tampered.qifeng.json" <<'PY'
import base64, json, sys
proof = json.load(open(sys.argv[1]))
anchor = next(a for a in proof["anchors"] if a["kind"] == "fabric")
receipt = json.loads(base64.b64decode(anchor["receipt"]))
text = receipt["block"]["data"][receipt["index"]]  # the transaction: text in base64 and numbers of shared parts by turns
at = max(range(0, len(text), 2), key=lambda i: len(text[i]))
middle = len(text[at]) // 2
text[at] = text[at][:middle] + ("A" if text[at][middle] != "A" else "B") + text[at][middle + 1:]
anchor["receipt"] = base64.b64encode(json.dumps(receipt, separators=(",", ":"), sort_keys=True).encode()).decode()
json.dump(proof, open(sys.argv[2], "w"))
PY
code=0
judge "$contract" "$work/tampered.qifeng.json" || code=$?
[ "$code" = 1 ] || die "the changed receipt ended with exit code $code, not 1"

say "改动合同副本的一个字节：必须失败" "changing one byte of a copy of the contract: it must fail"
cp "$contract" "$work/tampered.pdf"
byte=$(od -An -tu1 -j 1000 -N 1 "$work/tampered.pdf" | tr -d ' ')
printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$work/tampered.pdf" bs=1 seek=1000 conv=notrunc status=none
code=0
judge "$work/tampered.pdf" "$contract.qifeng.json" >/dev/null || code=$?
[ "$code" = 1 ] || die "the changed copy ended with exit code $code, not 1"

cat <<'TEXT'

✓ 全部成立：合同由联盟会签，检查点由 Fabric 通道的两个组织各凭自己的信任策略背书、由排序节点签入区块；一切停止后仍可离线验证；
  回执或合同改动一个字节即被发现。
✓ All of it held: the contract was sealed by the consortium; two organisations of a Fabric channel endorsed the checkpoint, each by
  a trust policy of its own, and the orderers signed the block; with everything stopped it verifies; one changed byte of
  receipt or contract is found.
TEXT
