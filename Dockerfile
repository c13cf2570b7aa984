# syntax=docker/dockerfile:1
# One image for the API and the worker: the command tells them apart. See docs/deployment.md.

FROM python:3.11-slim AS build

# Where to take torch and torchvision from. Empty: the default index, whose Linux build brings CUDA with it
# (several GB). For machines without a GPU, give the CPU wheel index from PyTorch's "Get Started" page.
ARG TORCH_INDEX_URL=""

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/duetto
ENV PATH=/opt/duetto/bin:$PATH
WORKDIR /build

# Dependencies before the sources, so that a change of code does not fetch torch again.
COPY constraints.txt ./
# --no-deps: that index mirrors only some of torch's own dependencies, and not the pinned versions.
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
        pip install --no-deps --index-url "$TORCH_INDEX_URL" --constraint constraints.txt torch torchvision; \
    fi
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt

COPY README.md LICENSE ./
COPY app app
COPY duetto duetto
COPY worker worker
COPY models models
COPY examples examples
RUN pip wheel --no-deps --wheel-dir dist . \
    && pip install --no-deps dist/*.whl \
    && python -m compileall -q /opt/duetto/lib


FROM python:3.11-slim

# The decoder's walls (docs/deployment.md, "Hostile uploads") want libseccomp, which the slim image need not keep.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libseccomp2 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin duetto \
    && install -d -o duetto -g duetto /var/lib/duetto /var/cache/duetto
COPY --from=build /opt/duetto /opt/duetto

# The root may be read-only: only /tmp and the two volumes are written to. Compiled helpers of
# librosa find no place beside their sources, so they get one.
ENV PATH=/opt/duetto/bin:$PATH \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DUETTO_DATA_DIR=/var/lib/duetto \
    DUETTO_CACHE_DIR=/var/cache/duetto
VOLUME ["/var/lib/duetto", "/var/cache/duetto"]
# Empty on purpose: Celery looks for modules in the current folder first.
WORKDIR /srv
USER 10001:10001
EXPOSE 8000

# Alone, the image is the whole service, broker included.
CMD ["duetto", "serve", "--host", "0.0.0.0"]
