#!/usr/bin/env bash
# 准备镜像内容 · Makes bin/image, all that the image holds: the static program,
# and the empty folders that the members' volumes are mounted on. Needs Go and
# no Docker. GOARCH chooses the machine; default this one's.
#
#   scripts/docker-build.sh && docker-compose up -d --build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for member in court-a notary-a arbitration-a vendor-a; do
  mkdir -p -m 700 "bin/image/homes/$member"
done
chmod 755 bin/image/homes
CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags='-s -w' -o bin/image/qifeng .
