# 骑缝节点镜像 · The image of a Qifeng node.
#
# It holds one static program and nothing else: no shell, no package, no
# library, so nothing is fetched to build it and nothing in it grows old.
# scripts/docker-build.sh puts the program and the empty homes into bin/image.
#
#   scripts/docker-build.sh && docker build -t qifeng:local .
FROM scratch

# A new volume takes over owner and mode of the folder it is mounted on, so the
# homes must be there, empty, and the user's.
COPY --chown=65532:65532 bin/image/homes /homes
COPY bin/image/qifeng /qifeng

USER 65532:65532
ENTRYPOINT ["/qifeng"]
CMD ["start"]
