# nexus-sidecar in an image of its own: one static binary, the roots it verifies services by, and
# nothing else. No shell, no package manager, no root.
#
#   docker build .                         from source
#   docker build --target released .       from the tarball of `make dist`, in target/dist
#
# It reads /etc/nexus-sidecar/nexus-sidecar.yaml and keeps what it keeps in /var/lib/nexus-sidecar.
# examples/compose.yaml puts an agent beside it.

# Any image with a shell and /etc/ssl/certs/ca-certificates.crt.
ARG BASE=docker.io/library/buildpack-deps:bookworm-curl
FROM ${BASE} AS base
RUN mkdir -m 700 /state

FROM scratch AS image
COPY --from=base /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=base --chown=65532:65532 /state /var/lib/nexus-sidecar
ENV HOME=/var/lib/nexus-sidecar XDG_CONFIG_HOME=/etc
USER 65532:65532
ENTRYPOINT ["/nexus-sidecar"]
CMD ["proxy", "--config", "/etc/nexus-sidecar/nexus-sidecar.yaml"]

FROM base AS unpacked
ADD target/dist/nexus-sidecar-*-linux.tar.gz /unpacked/
RUN mv /unpacked/nexus-sidecar-* /release

FROM image AS released
COPY --from=unpacked /release/bin/nexus-sidecar /nexus-sidecar
COPY --from=unpacked /release/share/doc/nexus-sidecar /doc

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The target is named so that procedural macros, which are libraries, are not linked statically.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" \
 && mv "target/$target/release/nexus-sidecar" /built

FROM image AS source
COPY --from=build /src/LICENSE /doc/LICENSE
COPY --from=build /built /nexus-sidecar
