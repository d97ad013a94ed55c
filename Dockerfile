# syntax=docker/dockerfile:1
# The two commands of docs/installation.md in containers, `make train` and `make test`:
#
#   docker build --tag rlcli --build-arg UID="$(id -u)" .
#   mkdir -p runs && docker run --rm --volume "$PWD/runs:/rlcli/runs" rlcli
#
#   docker build --tag rlcli-test --target test .
#   docker run --rm rlcli-test
#
# --build-arg TORCH_INDEX=ADDRESS takes torch from another package index, such as that of its CPU builds.

FROM python:3.11-slim-bookworm AS train
# The owner of what is saved to runs/.
ARG UID=1000
# The versions of git and make do not matter: those of the image's release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --non-unique --uid "$UID" rlcli \
    && install --directory --owner=rlcli --group=rlcli /rlcli
USER $UID
WORKDIR /rlcli
COPY --chown=rlcli:rlcli . .
ARG TORCH_INDEX=
RUN PIP_NO_CACHE_DIR=1 make install && mkdir --parents runs
ENV PATH=/rlcli/.venv/bin:$PATH
CMD ["make", "train"]

FROM train AS test
RUN PIP_NO_CACHE_DIR=1 make install EXTRAS=dev
CMD ["make", "test"]

# Built when no target is named.
FROM train
