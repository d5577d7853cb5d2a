# syntax=docker/dockerfile:1
# An image of one worker of this workspace, statically linked, on nothing but certificates and a user without rights.
#
#   docker build --build-arg BIN=example-10-kubernetes --tag plant/thermostats:0.1.0 .
#
# Without a container engine, `cargo xtask image --bin NAME` makes an image that is started alike; it has a bill of
# materials beside that, and the certificates of the machine that it is made on.

ARG RUST=1.95
FROM rust:${RUST}-alpine AS build
# ring has parts in C and assembler.
RUN apk add --no-cache musl-dev
WORKDIR /src
# Downloads and compiled dependencies stay in caches of the builder: a change of code compiles that code alone.
ARG BIN=tidemill
# The package that makes it: here they have one name.
ARG PACKAGE=$BIN
COPY . .
# These packages alone: with the whole workspace, a program would get the features that its neighbours ask for.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package "$PACKAGE" --package tidemill-cli --bin "$BIN" --bin tidemill \
    && mkdir -p /out/usr/bin /out/var/lib/tidemill \
    && cp "target/release/$BIN" /out/usr/bin/worker \
    && cp target/release/tidemill /out/usr/bin/tidemill

FROM gcr.io/distroless/static-debian12:nonroot
ARG BIN=tidemill
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="$BIN" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build --chown=0:0 /out/usr /usr
COPY --from=build --chown=65532:65532 /out/var/lib/tidemill /var/lib/tidemill
# Without it the health check has nobody to ask.
ENV TIDEMILL_ADMIN__ENABLED=true
USER 65532:65532
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["/usr/bin/tidemill", "health"]
ENTRYPOINT ["/usr/bin/worker"]
