# The host. Build it from the root of the repository: docker build -f examples/pipeline/host.Dockerfile .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package stagewire

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 stagewire \
    && install --directory --owner stagewire /data /data/plugins
COPY --from=build /src/target/release/stagewire /usr/local/bin/stagewire
USER 10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s CMD ["stagewire", "status", "--config", "/etc/stagewire/settings.yaml"]
CMD ["stagewire", "run", "--config", "/etc/stagewire/settings.yaml"]
