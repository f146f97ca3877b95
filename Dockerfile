# syntax=docker/dockerfile:1
# The command line in a container. PyTorch's CPU build by default:
#   docker build --tag interpolants .
#   docker run --rm --volume "$PWD:/work" interpolants run --x0 a.csv --x1 b.csv --out runs/ab
# With CUDA, whose libraries come with PyTorch's wheel on PyPI; the host needs NVIDIA's driver and container toolkit:
#   docker build --tag interpolants:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
#   docker run --rm --gpus all --volume "$PWD:/work" interpolants:cuda doctor

ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=data,plots,web
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/interpolants
ENV PATH=/opt/interpolants/bin:$PATH
# A layer of its own: PyTorch is most of the image, and changes less often than the library, which bounds its version.
# hadolint ignore=DL3013
RUN python -m pip install torch --index-url "${TORCH_INDEX}"
COPY . /source
RUN python -m pip install "/source[${EXTRAS}]"

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="interpolants" org.opencontainers.image.licenses="Apache-2.0"
# release labels: begin, written by .ci/release_check.py
# release labels: end
COPY --from=build /opt/interpolants /opt/interpolants
ENV PATH=/opt/interpolants/bin:$PATH
# Files in /work belong to the user of the host if it is run with: --user "$(id -u):$(id -g)"
RUN useradd --uid 1000 interpolants
# Any user of --user can write there, and has a name.
ENV HOME=/tmp USER=interpolants
USER 1000
WORKDIR /work
ENTRYPOINT ["interpolants"]
CMD ["--help"]
