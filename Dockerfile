# syntax=docker/dockerfile:1
# KubeOps in a small image: one binary, a numeric user, a root file system that may be read-only. State is in /data alone.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake g++ libssl-dev make perl pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# Only what the binary is made of: a change of documents or tests builds nothing anew.
COPY Cargo.toml Cargo.lock rust-toolchain.toml build.rs ./
COPY linker/start.ld linker/start.ld
COPY config config
COPY docs/settings.md docs/settings.md
COPY migrations migrations
COPY policies policies
COPY templates templates
COPY src src
# The caches outlive the build, so the second one compiles this crate alone; what is shipped is copied out of them. The toolchain is the
# image's: rust-toolchain.toml would have rustup fetch components that a build does not need.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    rm rust-toolchain.toml \
 && cargo build --locked --release --bin kubeops \
 && install -D -m 0755 target/release/kubeops /out/kubeops

FROM debian:bookworm-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
# `git openssh-client` for repositories with `git: { transport: git }`.
ARG EXTRA_PACKAGES=""
LABEL org.opencontainers.image.title="KubeOps" \
      org.opencontainers.image.description="An approved ticket or a firing alert becomes a reviewed pull request that changes Kubernetes manifests." \
      org.opencontainers.image.source="https://github.com/kubeops-dev/kubeops" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# libssl and zlib for fetching and pushing over HTTPS; the certificates of the public authorities; tini, because the program is not made to be process 1.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 tini zlib1g ${EXTRA_PACKAGES} \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /out/kubeops /usr/local/bin/kubeops
COPY config/resources /etc/kubeops/resources
COPY LICENSE NOTICE /usr/share/doc/kubeops/
ENV DATA_DIR=/data \
    RESOURCES_DIR=/etc/kubeops/resources \
    PORT=8080
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["kubeops", "health"]
ENTRYPOINT ["/usr/bin/tini", "--", "kubeops"]
CMD ["serve"]
