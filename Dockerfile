# homerec and Airflow, with what CeleryExecutor needs. docker-compose.yaml runs every service but
# Postgres and Redis from this image; docs/containers.md explains it. It holds no secret.
FROM python:3.11-slim-bookworm AS build

# The version that the Makefile pins.
ARG UV_VERSION=0.13.9
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir "uv==${UV_VERSION}"

ENV UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/homerec/.venv \
    UV_PYTHON=/usr/local/bin/python3.11 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /opt/homerec

# The dependencies are a layer of their own: a change of homerec does not install them again.
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --frozen --extra celery --no-dev --no-install-project --compile-bytecode

COPY . .
RUN /opt/uv/bin/uv sync --frozen --extra celery --no-dev --compile-bytecode \
    && .venv/bin/python -m compileall -q homerec dags plugins sql


FROM python:3.11-slim-bookworm

# implicit's wheel loads the system's OpenMP library.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# A named volume takes its owner from the folder that it is first mounted over.
RUN groupadd --system --gid 10001 homerec \
    && useradd --system --uid 10001 --gid 10001 --home-dir /opt/airflow --shell /bin/sh homerec \
    && install -d -o homerec -g homerec -m 0750 /opt/airflow /var/lib/homerec

COPY --from=build /opt/homerec /opt/homerec

# AIRFLOW_HOME is each container's own; HOMEREC_HOME is the volume that they share.
ENV PATH=/opt/homerec/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1 \
    OMP_WAIT_POLICY=passive \
    OMP_NUM_THREADS=1 \
    NUMBA_CACHE_DIR=/opt/airflow/numba \
    HOMEREC_HOME=/var/lib/homerec \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/homerec/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/homerec/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/var/lib/homerec/airflow/task-logs

USER 10001:10001
WORKDIR /opt/airflow
CMD ["homerec", "--help"]
