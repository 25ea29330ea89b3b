# The image of PixyProxy, without root rights and for a read-only root file system:
#
#     docker build --tag pixyproxy .
#     docker run --read-only --tmpfs /tmp --volume pixyproxy:/data --publish 127.0.0.1:8000:8000 pixyproxy
#
# BASE is any Debian or Ubuntu with Python 3.11 or later, its venv module, and pip.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /opt/pixyproxy
# Before the code, so that a change of it installs no dependency again.
COPY requirements/runtime.txt ./
RUN /opt/pixyproxy/bin/pip install --require-hashes --requirement runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY sql sql
COPY pixyproxy pixyproxy
RUN /opt/pixyproxy/bin/pip install --no-deps --no-build-isolation . \
    && /opt/pixyproxy/bin/pip uninstall --yes pip

FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="PixyProxy" \
      org.opencontainers.image.description="A self-hosted REST API that generates images through the OpenAI images API and keeps them." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# For the text of SVGs. A release of Debian has one version of each font.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fontconfig-config fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 pixyproxy \
    && useradd --uid 65532 --gid 65532 --home-dir /data --no-create-home --shell /usr/sbin/nologin pixyproxy \
    && install --directory --owner=65532 --group=65532 --mode=0750 /data

COPY --from=build /opt/pixyproxy /opt/pixyproxy
ENV PATH=/opt/pixyproxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/tmp \
    PIXYPROXY_HOST=0.0.0.0 \
    PIXYPROXY_LOG_FORMAT=json \
    PIXYPROXY_DATABASE_URL=sqlite:////data/pixyproxy.db \
    PIXYPROXY_CONTENT_URL=file:///data/images

# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Not whether it is ready: some orchestrators restart what is unhealthy, and that mends no database.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["pixyproxy", "health", "--live"]
ENTRYPOINT ["pixyproxy"]
CMD ["serve"]
