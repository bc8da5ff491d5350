# Stride on CPUs.
#   docker build -t stride .
#   docker run --rm -v "$PWD/runs:/data/runs" stride train quickstart
# For a smaller image, give the index of PyTorch's CPU wheels: --build-arg PIP_EXTRA_INDEX_URL=...
# Not built by the project's tests, which run without Docker.
FROM python:3.11-slim

ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /src
COPY constraints.txt .
RUN pip install --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY envs envs
COPY rewards rewards
COPY rollout rollout
COPY rl rl
COPY scripts scripts
RUN pip install --constraint constraints.txt '.[reasoning-gym]'

RUN useradd --create-home stride && mkdir /data && chown stride /data
USER stride
WORKDIR /data
ENTRYPOINT ["stride"]
CMD ["--help"]
