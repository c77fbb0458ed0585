#!/usr/bin/env bash
# A Hyperledger Fabric network on 127.0.0.1, for tests and demonstrations: real programs, no
# containers. One raft orderer or four SmartBFT orderers, two organisations with one peer each,
# TLS everywhere, the channel "anchors", and the chaincode "anchor" as an external service with
# mutual TLS, one process per organisation. `fabric-net.sh help` says how to use it.
#
# It ends only processes that it started: each is known by its process id and its start time.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=3.1.4 channel=anchors chaincode=anchor

usage() { cat <<'EOF'
use: scripts/fabric-net.sh COMMAND [--dir DIR] [options]

  build                  build Fabric's programs into the cache, once (two minutes on two cores)
  up [options]           a new network; nothing to do if it runs
  down                   end it and remove its folder
  env                    where everything is (JSON), as in DIR/net.json
  status                 processes and their ids
  start|stop|restart     all processes, keeping the data …
  start|stop|kill NAME   … or one: orderer1 … orderer4, peer1, peer2, chaincode1, chaincode2
  pause|resume NAME      let one hang

  --dir DIR        the network's folder (default ${TMPDIR:-/tmp}/qifeng-fabric-<user id>)
  --bft            four SmartBFT orderers instead of one raft orderer
  --low-s          CA certificates with low-S signatures only, as fabric-sdk-go wants them
  --high-s         at least one CA certificate with a high-S signature
  --policies DIR   trust policies for the chaincode, <chain id>.txt; copied for each organisation
  --writers FILE   which organisations may write which log; copied for each organisation
  --anchorcc FILE  the chaincode program; otherwise it is built
  --owner PID      end the network when this process has ended
EOF
}
die() { printf 'fabric-net: %s\n' "$*" >&2; exit 1; }
say() { printf 'fabric-net: %6.2f s  %s\n' "$(since)" "$*" >&2; }
began=${EPOCHREALTIME/[.,]/}
since() { local us=$((${EPOCHREALTIME/[.,]/} - began)); printf '%d.%02d' $((us / 1000000)) $((us / 10000 % 100)); }
need() { # program, Debian package
  command -v "$1" >/dev/null 2>&1 || die "$1 is missing: apt-get install $2"
}

### Fabric's programs

# The cache's name holds a digest of everything that is pinned: another pin, another folder.
cache() {
  local pins; pins=$(cat "$repo"/test/fabric/tools/{go.mod,go.sum,tools.go} | sha256sum | cut -c1-12)
  printf '%s/qifeng/fabric-%s-%s' "${XDG_CACHE_HOME:-$HOME/.cache}" "$version" "$pins"
}
build() (
  fabric=$(cache)
  [ -x "$fabric/bin/peer" ] && return 0
  need flock util-linux
  command -v go >/dev/null 2>&1 || die "Go 1.26 is missing: https://go.dev/dl/"
  mkdir -p "${fabric%/*}"
  exec 9>"$fabric.lock"; flock 9 # others that want it wait, and then find it
  [ -x "$fabric/bin/peer" ] && return 0
  say "building Hyperledger Fabric $version into $fabric, once (two to five minutes)"
  rm -rf "$fabric".new.* # cut short, all of them: we hold the lock
  new=$(mktemp -d "$fabric.new.XXXXXX"); trap 'chmod -R u+w "$new" 2>/dev/null; rm -rf "$new"' EXIT
  mkdir "$new/bin" "$new/sampleconfig"
  cd "$repo/test/fabric/tools"
  nice go build -mod=readonly -o "$new/bin/" github.com/hyperledger/fabric/cmd/{peer,orderer,configtxgen,cryptogen,osnadmin} ||
    die "Hyperledger Fabric $version cannot be built: see above (a Go module proxy must be in reach: go env GOPROXY)"
  source=$(go list -mod=readonly -m -f '{{.Dir}}' github.com/hyperledger/fabric)
  install -m 644 "$source"/sampleconfig/{core,orderer}.yaml "$new/sampleconfig/"
  mv "$new" "$fabric" # appears whole or not at all
  say "built"
)

### Processes

# The start time tells a process from a later one with the same id.
started() { local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) && set -- ${stat##*) } && echo "${20}"; }
pid_of() { # name: its process id, if it runs
  local pid start; read -r pid start 2>/dev/null <"$net/pid/$1" || return 1
  [ "$(started "$pid")" = "$start" ] && [ "$(state_of "$pid")" != Z ] && echo "$pid"
}
state_of() { local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) && set -- ${stat##*) } && echo "$1"; }
launch() { # name, folder to run in, command…
  local name=$1 folder=$2 pid; shift 2
  pid_of "$name" >/dev/null && return 0
  ( cd "$folder" && exec setsid "$@" ) </dev/null >>"$net/log/$name.log" 2>&1 &
  pid=$!; echo "$pid $(started "$pid")" >"$net/pid/$name"; disown
}
signal() { # name, signal
  local pid; pid=$(pid_of "$1") || return 0
  kill -"$2" "$pid" 2>/dev/null || true
}
finish() { # names…: ask all, wait, insist
  local name pid
  for name; do signal "$name" TERM; signal "$name" CONT; done
  for name; do
    for _ in $(seq 100); do pid=$(pid_of "$name") || break; sleep 0.05; done
    if pid=$(pid_of "$name"); then kill -KILL "$pid" 2>/dev/null || true; while pid_of "$name" >/dev/null; do sleep 0.05; done; fi
    rm -f "$net/pid/$name"
  done
}
names() { local i; for i in $(seq "$orderers"); do echo "orderer$i"; done; echo peer1 peer2 chaincode1 chaincode2; }
running() { local n; for n in $(names); do pid_of "$n" >/dev/null || return 1; done; }
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
await() { # name, port of its health
  local i
  for i in $(seq 600); do
    case "$1" in
      chaincode*) listening "$2" && return 0 ;;
      *) listening $(($2 - 2)) && [ "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$(tls_of "$1")/ca.crt" "https://127.0.0.1:$2/healthz" 2>/dev/null)" = 200 ] && return 0 ;;
    esac
    pid_of "$1" >/dev/null || { tail -n 15 "$net/log/$1.log" >&2; die "$1 has ended; its log is above"; }
    sleep 0.05
  done
  tail -n 15 "$net/log/$1.log" >&2; die "$1 is not healthy after 30 s; its log is above"
}

### Places

orderer_org() { echo "$net/crypto/ordererOrganizations/orderer.anchor.test"; }
orderer_dir() { echo "$(orderer_org)/orderers/orderer$1.orderer.anchor.test"; }
org_dir() { echo "$net/crypto/peerOrganizations/org$1.anchor.test"; }
peer_dir() { echo "$(org_dir "$1")/peers/peer.org$1.anchor.test"; }
tls_of() { case "$1" in orderer*) echo "$(orderer_dir "${1#orderer}")/tls" ;; *) echo "$(peer_dir "${1#peer}")/tls" ;; esac; }
orderer_port() { echo $((base + 3 * ($1 - 1))); } # + 1: administration, + 2: operations
peer_port() { echo $((base + 12 + 3 * ($1 - 1))); } # + 1: for chaincode that dials, + 2: operations
chaincode_port() { echo $((base + 18 + $1 - 1)); }
health_port() {
  case "$1" in
    orderer*) echo $(($(orderer_port "${1#orderer}") + 2)) ;;
    peer*) echo $(($(peer_port "${1#peer}") + 2)) ;;
    *) chaincode_port "${1#chaincode}" ;;
  esac
}
# A block of 20 ports below those that the system gives away. A link to the folder of its network
# holds it; one to a folder that is gone holds nothing.
ports() { echo "${TMPDIR:-/tmp}/qifeng-fabric-ports-$UID"; }
take_ports() {
  local held block port; held=$(ports)
  mkdir -p "$held"
  for _ in $(seq 200); do
    block=$((RANDOM % 900)); base=$((13000 + 20 * block))
    [ -L "$held/$block" ] && [ ! -e "$held/$block" ] && rm -f "$held/$block"
    ln -sn "$net" "$held/$block" 2>/dev/null || continue
    for port in $(seq "$base" $((base + 19))); do
      listening "$port" && { rm -f "$held/$block"; continue 2; }
    done
    return 0
  done
  die "no block of 20 free ports between 13000 and 31000 on 127.0.0.1"
}

### Single processes

start_orderer() {
  local tls home="$net/orderer$1" port; tls=$(tls_of "orderer$1"); port=$(orderer_port "$1")
  mkdir -p "$home"; cp "$fabric/sampleconfig/orderer.yaml" "$home/"
  launch "orderer$1" "$home" env FABRIC_CFG_PATH="$home" FABRIC_LOGGING_SPEC=grpc=error:info \
    ORDERER_GENERAL_LISTENADDRESS=127.0.0.1 ORDERER_GENERAL_LISTENPORT="$port" \
    ORDERER_GENERAL_LOCALMSPID=OrdererMSP ORDERER_GENERAL_LOCALMSPDIR="$(orderer_dir "$1")/msp" \
    ORDERER_GENERAL_TLS_ENABLED=true ORDERER_GENERAL_TLS_PRIVATEKEY="$tls/server.key" \
    ORDERER_GENERAL_TLS_CERTIFICATE="$tls/server.crt" ORDERER_GENERAL_TLS_ROOTCAS="[$tls/ca.crt]" \
    ORDERER_GENERAL_CLUSTER_CLIENTCERTIFICATE="$tls/server.crt" ORDERER_GENERAL_CLUSTER_CLIENTPRIVATEKEY="$tls/server.key" \
    ORDERER_GENERAL_CLUSTER_ROOTCAS="[$tls/ca.crt]" \
    ORDERER_GENERAL_BOOTSTRAPMETHOD=none ORDERER_CHANNELPARTICIPATION_ENABLED=true \
    ORDERER_ADMIN_LISTENADDRESS="127.0.0.1:$((port + 1))" ORDERER_ADMIN_TLS_ENABLED=true \
    ORDERER_ADMIN_TLS_PRIVATEKEY="$tls/server.key" ORDERER_ADMIN_TLS_CERTIFICATE="$tls/server.crt" \
    ORDERER_ADMIN_TLS_CLIENTAUTHREQUIRED=true ORDERER_ADMIN_TLS_CLIENTROOTCAS="[$tls/ca.crt]" \
    ORDERER_OPERATIONS_LISTENADDRESS="127.0.0.1:$((port + 2))" ORDERER_OPERATIONS_TLS_ENABLED=true \
    ORDERER_OPERATIONS_TLS_PRIVATEKEY="$tls/server.key" ORDERER_OPERATIONS_TLS_CERTIFICATE="$tls/server.crt" \
    ORDERER_FILELEDGER_LOCATION="$home/data" ORDERER_CONSENSUS_WALDIR="$home/wal" ORDERER_CONSENSUS_SNAPDIR="$home/snap" \
    "$fabric/bin/orderer"
}
start_peer() {
  local tls home="$net/peer$1" port address; tls=$(tls_of "peer$1"); port=$(peer_port "$1"); address=127.0.0.1:$port
  # With the default gossip intervals the first call fails for 26 s, because the peers do not know
  # each other's chaincode yet.
  launch "peer$1" "$home" env FABRIC_CFG_PATH="$home" FABRIC_LOGGING_SPEC=grpc=error:info \
    CORE_PEER_ID="peer.org$1.anchor.test" CORE_PEER_NETWORKID=anchor CORE_PEER_LOCALMSPID="Org$1MSP" CORE_PEER_MSPCONFIGPATH="$(peer_dir "$1")/msp" \
    CORE_PEER_ADDRESS="$address" CORE_PEER_LISTENADDRESS="$address" \
    CORE_PEER_CHAINCODELISTENADDRESS="127.0.0.1:$((port + 1))" CORE_PEER_CHAINCODEADDRESS="127.0.0.1:$((port + 1))" \
    CORE_PEER_GOSSIP_BOOTSTRAP="$address" CORE_PEER_GOSSIP_EXTERNALENDPOINT="$address" \
    CORE_PEER_GOSSIP_USELEADERELECTION=false CORE_PEER_GOSSIP_ORGLEADER=true \
    CORE_PEER_GOSSIP_PUBLISHSTATEINFOINTERVAL=500ms CORE_PEER_GOSSIP_REQUESTSTATEINFOINTERVAL=500ms \
    CORE_PEER_GOSSIP_PULLINTERVAL=500ms CORE_PEER_GOSSIP_ALIVETIMEINTERVAL=500ms CORE_PEER_GOSSIP_RECONNECTINTERVAL=2s \
    CORE_PEER_GOSSIP_PUBLISHCERTPERIOD=1s CORE_PEER_GOSSIP_MEMBERSHIPTRACKERINTERVAL=1s \
    CORE_PEER_TLS_ENABLED=true CORE_PEER_TLS_CERT_FILE="$tls/server.crt" CORE_PEER_TLS_KEY_FILE="$tls/server.key" \
    CORE_PEER_TLS_ROOTCERT_FILE="$tls/ca.crt" \
    CORE_OPERATIONS_LISTENADDRESS="127.0.0.1:$((port + 2))" CORE_OPERATIONS_TLS_ENABLED=true \
    CORE_OPERATIONS_TLS_CERT_FILE="$tls/server.crt" CORE_OPERATIONS_TLS_KEY_FILE="$tls/server.key" \
    CORE_PEER_FILESYSTEMPATH="$home/data" CORE_LEDGER_SNAPSHOTS_ROOTDIR="$home/snapshots" \
    "$fabric/bin/peer" node start
}
start_chaincode() {
  local home="$net/org$1"
  launch "chaincode$1" "$home" "$net/bin/anchorcc" --id "$(cat "$home/package")" --listen "127.0.0.1:$(chaincode_port "$1")" \
    --cert "$home/tls/service.crt" --key "$home/tls/service.key" --client-ca "$home/tls/peer.crt" \
    --policies "$home/policies" --writers "$home/writers.txt"
}
start_one() {
  case "$1" in
    orderer*) start_orderer "${1#orderer}" ;;
    peer*) start_peer "${1#peer}" ;;
    *) start_chaincode "${1#chaincode}" ;;
  esac
}
keep() { # end the network when its owner is gone
  [ -n "$owner" ] || return 0
  launch keeper "$repo" bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; exec "$2" down --dir "$3"' keeper "$owner" "$repo/scripts/fabric-net.sh" "$net"
}

### A new network

# as ORG command…: with the identity of the organisation's administrator
as() {
  local org=$1; shift
  env FABRIC_CFG_PATH="$net/peer$org" FABRIC_LOGGING_SPEC=error CORE_PEER_LOCALMSPID="Org${org}MSP" \
    CORE_PEER_MSPCONFIGPATH="$(org_dir "$org")/users/Admin@org$org.anchor.test/msp" CORE_PEER_ADDRESS="127.0.0.1:$(peer_port "$org")" \
    CORE_PEER_TLS_ENABLED=true CORE_PEER_TLS_ROOTCERT_FILE="$(tls_of "peer$org")/ca.crt" "$@"
}
quietly() { # log name, command…: its words only if it fails
  local log="$net/log/$1.log"; shift
  "$@" >"$log" 2>&1 || { tail -n 15 "$log" >&2; die "failed: ${*: -6}"; }
}
# low_s CERTIFICATE: whether the signature on it has its s in the lower half, the only form that
# fabric-sdk-go finds its own certificates again in.
low_s() {
  local half=7FFFFFFF800000007FFFFFFFFFFFFFFFDE737D56D38BCF4279DCE5617E3192A8 at s
  at=$(openssl asn1parse -in "$1" | grep 'BIT STRING' | tail -n 1 | cut -d: -f1 | tr -d ' ')
  s=$(openssl asn1parse -in "$1" -strparse "$at" | grep INTEGER | tail -n 1 | sed 's/.*://')
  s=$(printf '%64s' "$s" | tr ' ' 0)
  [[ ! "$s" > "$half" ]]
}
make_crypto() { # every second CA certificate comes out high-S: draw until they are as wanted
  local drawn ca
  for _ in $(seq 300); do
    rm -rf "$net/crypto"
    quietly cryptogen "$fabric/bin/cryptogen" generate --config "$repo/test/fabric/network/crypto-config.yaml" --output "$net/crypto"
    drawn=low
    for ca in "$net"/crypto/*/*/ca/*.pem; do low_s "$ca" || drawn=high; done
    if [ "$cas" = any ] || [ "$cas" = "$drawn" ]; then return 0; fi
  done
  die "no CA certificates of the wanted form in 300 draws"
}
revoke_user2() { # of org1, by its CA's revocation list in the channel's configuration
  # Without authorityKeyIdentifier in the list Fabric 3.1.4 refuses everyone of the organisation.
  local d cert serial
  d="$(org_dir 1)" && mkdir -p "$net/crl" "$d/msp/crls"
  cert=$(one "$d"/users/User2@org1.anchor.test/msp/signcerts/*.pem)
  serial=$(openssl x509 -in "$cert" -noout -serial | cut -d= -f2)
  printf 'R\t400101000000Z\t260101000000Z\t%s\tunknown\t/CN=User2\n' "$serial" >"$net/crl/index.txt"
  printf '[ca]\ndefault_ca=it\n[it]\ndatabase=%s\ndefault_md=sha256\ndefault_crl_days=3650\ncrl_extensions=ext\n[ext]\nauthorityKeyIdentifier=keyid:always\n' "$net/crl/index.txt" >"$net/crl/openssl.cnf"
  quietly crl openssl ca -gencrl -config "$net/crl/openssl.cnf" -keyfile "$(one "$d"/ca/*_sk)" -cert "$(one "$d"/ca/*.pem)" -out "$d/msp/crls/crl.pem"
}
make_channel() {
  local i hosts="" tls
  for i in $(seq "$orderers"); do hosts+="\"127.0.0.1:$(orderer_port "$i")\","; done
  if [ "$orderers" = 1 ]; then
    tls=$(tls_of orderer1)
    printf '      OrdererType: etcdraft\n      EtcdRaft:\n        Consenters:\n'
    printf '          - {Host: 127.0.0.1, Port: %s, ClientTLSCert: %s, ServerTLSCert: %s}\n' "$(orderer_port 1)" "$tls/server.crt" "$tls/server.crt"
    printf '        Options: {TickInterval: 100ms, ElectionTick: 10, HeartbeatTick: 1, MaxInflightBlocks: 5, SnapshotIntervalSize: 16 MB}\n'
  else
    printf '      OrdererType: BFT\n      SmartBFT: {RequestBatchMaxInterval: 200ms, RequestForwardTimeout: 2s, RequestComplainTimeout: 5s, '
    printf 'RequestAutoRemoveTimeout: 3m0s, ViewChangeResendInterval: 2s, ViewChangeTimeout: 10s, LeaderHeartbeatTimeout: 10s, '
    printf 'CollectTimeout: 1s, IncomingMessageBufferSize: 200, RequestPoolSize: 100000, LeaderHeartbeatCount: 10}\n      ConsenterMapping:\n'
    for i in $(seq "$orderers"); do
      tls=$(tls_of "orderer$i")
      printf '        - {ID: %s, Host: 127.0.0.1, Port: %s, MSPID: OrdererMSP, Identity: %s, ClientTLSCert: %s, ServerTLSCert: %s}\n' \
        "$i" "$(orderer_port "$i")" "$(orderer_cert "$i")" "$tls/server.crt" "$tls/server.crt"
    done
  fi >"$net/channel/consensus"
  sed -e "s#@CRYPTO@#$net/crypto#; s#@ORDERERS@#${hosts%,}#; s#@PEER1@#$(peer_port 1)#; s#@PEER2@#$(peer_port 2)#" \
    -e "/^@CONSENSUS@/{r $net/channel/consensus" -e 'd;}' "$repo/test/fabric/network/configtx.yaml.in" >"$net/channel/configtx.yaml"
  quietly configtxgen env FABRIC_CFG_PATH="$net/channel" "$fabric/bin/configtxgen" -profile Anchors -channelID "$channel" -outputBlock "$net/channel/genesis.block"
}
orderer_cert() { echo "$(orderer_dir "$1")/msp/signcerts/orderer$1.orderer.anchor.test-cert.pem"; }
# The chaincode's service and its peer know each other by one certificate each, made for this link
# alone. The package holds the peer's key for it, so every organisation has a package of its own.
make_package() {
  local home="$net/org$1" who
  mkdir -p "$home/tls" "$home/package.d" "$home/policies"
  for who in service peer; do
    ( umask 077; quietly "openssl" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/O=org$1.anchor.test/CN=chaincode $who" \
      -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' -keyout "$home/tls/$who.key" -out "$home/tls/$who.crt" )
  done
  printf '{"address":"127.0.0.1:%s","dial_timeout":"3s","tls_required":true,"client_auth_required":true,"client_key":"%s","client_cert":"%s","root_cert":"%s"}\n' \
    "$(chaincode_port "$1")" "$(pem "$home/tls/peer.key")" "$(pem "$home/tls/peer.crt")" "$(pem "$home/tls/service.crt")" >"$home/package.d/connection.json"
  printf '{"type":"ccaas","label":"%s_1"}\n' "$chaincode" >"$home/package.d/metadata.json"
  ( cd "$home/package.d"
    pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - "$@" | gzip -n; }
    pack connection.json >code.tar.gz
    pack metadata.json code.tar.gz >"$home/$chaincode.tgz" )
  as "$1" "$fabric/bin/peer" lifecycle chaincode calculatepackageid "$home/$chaincode.tgz" >"$home/package"
  [ -z "$policies" ] || cp -R "$policies/." "$home/policies/"
  if [ -n "$writers" ]; then cp "$writers" "$home/writers.txt"; else printf 'qifeng-writers/v1\n' >"$home/writers.txt"; fi
}
pem() { awk '{printf "%s\\n", $0}' "$1"; }
one() { set -- "$@"; [ $# = 1 ] && [ -f "$1" ] || die "not one file: $*"; echo "$1"; }

write_facts() {
  local i org out="$net/net.json.new" comma=""
  {
    printf '{"version":"%s","consensus":"%s","dir":"%s","channel":"%s","chaincode":"%s","genesis_block":"%s","orderer_msp":"OrdererMSP","orderer_ca":"%s","orderers":[' \
      "$version" "$([ "$orderers" = 1 ] && echo raft || echo bft)" "$net" "$channel" "$chaincode" "$net/channel/genesis.block" "$(one "$(orderer_org)"/ca/*.pem)"
    for i in $(seq "$orderers"); do
      printf '%s{"name":"orderer%s","id":%s,"endpoint":"127.0.0.1:%s","tls_ca":"%s","tls_name":"orderer%s.orderer.anchor.test","certificate":"%s"}' \
        "$comma" "$i" "$i" "$(orderer_port "$i")" "$(tls_of "orderer$i")/ca.crt" "$i" "$(orderer_cert "$i")"; comma=,
    done
    printf '],"organisations":['; comma=""
    for org in 1 2; do
      printf '%s{"name":"org%s","msp":"Org%sMSP","ca":"%s","msp_dir":"%s","policies":"%s","writers":"%s","package":"%s","chaincode":"chaincode%s",' \
        "$comma" "$org" "$org" "$(one "$(org_dir "$org")"/ca/*.pem)" "$(org_dir "$org")/msp" "$net/org$org/policies" "$net/org$org/writers.txt" "$(cat "$net/org$org/package")" "$org"
      printf '"peer":{"name":"peer%s","endpoint":"127.0.0.1:%s","tls_ca":"%s","tls_name":"peer.org%s.anchor.test","certificate":"%s"},' \
        "$org" "$(peer_port "$org")" "$(tls_of "peer$org")/ca.crt" "$org" "$(one "$(peer_dir "$org")"/msp/signcerts/*.pem)"
      printf '"user":%s,"admin":%s}' "$(identity "$org" User1)" "$(identity "$org" Admin)"; comma=,
    done
    printf ']}\n'
  } >"$out"
  mv "$out" "$net/net.json"
}
identity() {
  local d; d="$(org_dir "$1")/users/$2@org$1.anchor.test/msp"
  printf '{"certificate":"%s","key":"%s","msp_dir":"%s"}' "$(one "$d"/signcerts/*.pem)" "$(one "$d"/keystore/*)" "$d"
}

up() {
  if [ -f "$net/net.json" ]; then
    load
    running && { say "it runs already, in $net"; return 0; }
    die "a network that is stopped is in $net: start it (fabric-net.sh start --dir $net) or remove it (fabric-net.sh down --dir $net)"
  fi
  need curl curl; need openssl openssl; need setsid util-linux; need tar tar; need gzip gzip; need sha256sum coreutils
  [ -z "$policies" ] || [ -d "$policies" ] || die "--policies: no folder $policies"
  [ -z "$writers" ] || [ -f "$writers" ] || die "--writers: no file $writers"
  build; fabric=$(cache)
  if [ -e "$net" ]; then load; end_all; rm -rf "$net"; fi # a start that was cut short
  mkdir -p "$net"; chmod 700 "$net"; mkdir "$net"/{pid,log,channel,bin,peer1,peer2,org1,org2}
  take_ports
  printf 'orderers=%s base=%s fabric=%q owner=%q\n' "$orderers" "$base" "$fabric" "$owner" >"$net/conf"
  trap 'code=$?; [ $code = 0 ] || { end_all; printf "fabric-net: no network; logs: %s/log\n" "$net" >&2; }' EXIT
  trap 'exit 130' INT; trap 'exit 143' TERM
  if [ -n "$anchorcc" ]; then cp "$anchorcc" "$net/bin/anchorcc"; else ( cd "$repo" && go build -o "$net/bin/anchorcc" ./anchor/fabric/chaincode ); fi
  bring_up
  trap - EXIT
}
bring_up() {
  local i n tls
  cp -R "$repo/test/fabric/network/builder" "$net/builder"
  for n in 1 2; do # no containers, and our builder instead of a container's
    sed -e 's#^\( *\)endpoint: unix:.*#\1endpoint: ""#' -e "s#path: /opt/hyperledger/ccaas_builder#path: $net/builder#" "$fabric/sampleconfig/core.yaml" >"$net/peer$n/core.yaml"
  done
  make_crypto; revoke_user2; make_channel; say "keys, certificates and the channel's first block"
  for n in 1 2; do make_package "$n"; done
  keep
  for n in $(names); do start_one "$n"; done
  for n in $(names); do await "$n" "$(health_port "$n")"; done; say "all processes healthy"
  tls=$(tls_of orderer1)
  for i in $(seq "$orderers"); do
    quietly "join-orderer$i" "$fabric/bin/osnadmin" channel join --channelID "$channel" --config-block "$net/channel/genesis.block" \
      -o "127.0.0.1:$(($(orderer_port "$i") + 1))" --ca-file "$tls/ca.crt" --client-cert "$tls/server.crt" --client-key "$tls/server.key"
  done
  for n in 1 2; do quietly "join-peer$n" as "$n" "$fabric/bin/peer" channel join -b "$net/channel/genesis.block"; done; say "channel joined"
  for n in 1 2; do quietly "install$n" as "$n" "$fabric/bin/peer" lifecycle chaincode install "$net/org$n/$chaincode.tgz"; done
  local to=(-o "127.0.0.1:$(orderer_port 1)" --tls --cafile "$tls/ca.crt" -C "$channel" -n "$chaincode" -v 1 --sequence 1)
  for n in 1 2; do quietly "approve$n" as "$n" "$fabric/bin/peer" lifecycle chaincode approveformyorg "${to[@]}" --package-id "$(cat "$net/org$n/package")"; done
  for n in 1 2; do to+=(--peerAddresses "127.0.0.1:$(peer_port "$n")" --tlsRootCertFiles "$(tls_of "peer$n")/ca.crt"); done
  quietly commit as 1 "$fabric/bin/peer" lifecycle chaincode commit "${to[@]}"
  write_facts; say "chaincode committed; $net/net.json says where everything is"
}

### An existing network

load() { # its shape
  [ -f "$net/conf" ] || { [ -z "$(ls -A "$net" 2>/dev/null)" ] || die "$net is not empty and holds no network: another --dir, please"; orderers=1; return 0; }
  local had=$owner; . "$net/conf"; [ -z "$had" ] || owner=$had
}
existing() { [ -f "$net/net.json" ] || die "no network in $net: fabric-net.sh up --dir $net"; load; }
end_all() { # the keeper last: it may be who asks
  local n; [ -d "$net/pid" ] || return 0
  finish $(names)
  local keeper; keeper=$(pid_of keeper) || return 0
  [ "$keeper" = "$$" ] || finish keeper
}
start_all() { local n; keep; for n in $(names); do start_one "$n"; done; for n in $(names); do await "$n" "$(health_port "$n")"; done; }
named() { names | tr ' ' '\n' | grep -qx "$1" || die "no process $1 here: $(names | tr '\n' ' ')"; }
status() { local n pid; for n in $(names); do pid=$(pid_of "$n") && echo "$n $pid" || echo "$n -"; done; }
down() {
  [ -e "$net" ] || { say "no network in $net"; return 0; }
  [ -f "$net/conf" ] || [ -d "$net/pid" ] || die "$net holds no network; nothing removed"
  load; end_all; rm -rf "$net"; rm -f "$(ports)"/$(((${base:-0} - 13000) / 20)); say "ended, and $net removed"
}

[ "$(uname -s)" = Linux ] || die "this script needs Linux (/proc, setsid, flock)"
command=${1:-help}; [ $# = 0 ] || shift
name="" net="${TMPDIR:-/tmp}/qifeng-fabric-$UID" orderers=1 cas=any policies="" writers="" anchorcc="" owner=""
while [ $# -gt 0 ]; do
  case "$1" in
    --bft) orderers=4; shift ;;
    --low-s) cas=low; shift ;;
    --high-s) cas=high; shift ;;
    --dir | --policies | --writers | --anchorcc | --owner)
      [ $# -ge 2 ] || die "$1 needs a value"
      case "$1" in --dir) net=$2 ;; --policies) policies=$2 ;; --writers) writers=$2 ;; --anchorcc) anchorcc=$2 ;; --owner) owner=$2 ;; esac
      shift 2 ;;
    -*) die "unknown option $1; see fabric-net.sh help" ;;
    *) [ -z "$name" ] || die "one name at a time: $name, $1"; name=$1; shift ;;
  esac
done
net=$(realpath -m "$net")
[[ "$net" =~ ^[A-Za-z0-9._/-]+$ ]] || die "--dir: only letters, digits and . _ / - in the path, not $net"
case "$command" in
  build) build; cache; echo ;;
  up) up ;;
  down) down ;;
  env) existing; cat "$net/net.json" ;;
  status) existing; status ;;
  start | stop | restart | kill | pause | resume)
    existing
    if [ -z "$name" ]; then
      case "$command" in
        start) start_all ;;
        stop) end_all ;;
        restart) end_all; start_all ;;
        *) die "$command needs a name: $(names | tr '\n' ' ')" ;;
      esac
    else
      named "$name"
      case "$command" in
        start) start_one "$name"; await "$name" "$(health_port "$name")" ;;
        stop) finish "$name" ;;
        restart) finish "$name"; start_one "$name"; await "$name" "$(health_port "$name")" ;;
        kill) signal "$name" KILL; finish "$name" ;;
        pause) signal "$name" STOP ;;
        resume) signal "$name" CONT ;;
      esac
    fi ;;
  help | --help | -h) usage ;;
  *) usage >&2; exit 2 ;;
esac
