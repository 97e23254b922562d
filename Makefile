# homerec: `make help` lists what there is to do.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3.11
UV_VERSION := 0.13.9
BIN := .venv/bin
HOMEREC := $(BIN)/homerec
UV := .uv/bin/uv

# Airflow would compile itself at every start without its bytecode, and uv needs to be told the
# interpreter where version managers put shims first on PATH.
unexport PYTHONDONTWRITEBYTECODE
export UV_PROJECT_ENVIRONMENT := .venv
export OPENBLAS_NUM_THREADS := 1
export OMP_WAIT_POLICY := passive
SYNC = $(UV) sync --frozen --inexact --compile-bytecode --quiet \
	--python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "homerec needs Python 3.11; $(PYTHON) was not found. Install it, or name yours: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "homerec needs Python 3.11; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }

$(UV): | python
	@echo "setting up uv $(UV_VERSION)"
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.ready: uv.lock pyproject.toml | $(UV)
	@echo "installing the locked environment"
	@$(SYNC) --no-dev
	@touch $@

.venv/.ready-dev: uv.lock pyproject.toml | $(UV)
	@echo "installing the locked environment, with what tests and checks need"
	@$(SYNC)
	@touch $@ .venv/.ready

.PHONY: env
env: .venv/.ready ## install the locked environment

.PHONY: night
night: .venv/.ready ## demo world, ingest, training and one night, without Airflow, to a Home on the screen
	@$(HOMEREC) db start
	@$(HOMEREC) world --if-missing
	@$(HOMEREC) ingest
	@$(HOMEREC) train
	@$(HOMEREC) night
	@echo
	@$(HOMEREC) home

# The browser's tests drive Debian's Chromium; who may not install it gets them skipped, and told so.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& { echo "installing chromium"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| echo "chromium is not installed, so the browser's tests are skipped; as root: apt-get install chromium"; }

# One real stack, made once, serves the tests of the second line: they run in one process.
.PHONY: test
test: .venv/.ready-dev chromium ## all tests but the slow ones
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" --ignore tests/scheduler --ignore tests/browser
	@$(BIN)/python -m pytest -m "not slow" tests/scheduler tests/browser

.PHONY: test-slow
test-slow: .venv/.ready-dev ## the full-size tests
	@$(BIN)/python -m pytest -m slow

.PHONY: check
check: .venv/.ready-dev ## ruff, mypy, import-linter, lock files in step
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(UV) lock --check --quiet || { echo "uv.lock is not in step with pyproject.toml: run make lock" >&2; exit 1; }
	@$(UV) export --frozen --no-dev --no-emit-project --quiet --no-header | diff -q - requirements.txt >/dev/null \
		|| { echo "requirements.txt is not in step with uv.lock: run make lock" >&2; exit 1; }
	@echo "all checks passed"

.PHONY: lock
lock: | $(UV) ## resolve the dependencies anew, within pyproject.toml, and export requirements.txt
	@$(UV) lock --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@$(UV) export --frozen --no-dev --no-emit-project --quiet --no-header > requirements.txt

.PHONY: format
format: .venv/.ready-dev ## format the code
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

.PHONY: bench
bench: .venv/.ready-dev ## the benchmarks, with their figures (features once more at 50 million events)
	@$(BIN)/python -m homerec.bench
	@$(BIN)/python -m homerec.bench features --listeners 100000

# Where lastfm-2k and amazon-digital-music lie, if they do.
DATA ?= ../shared/data
.PHONY: bench-quality
bench-quality: .venv/.ready-dev ## how good the models are, against baselines, peers and the truth
	@$(BIN)/python -m homerec.bench.quality $(if $(wildcard $(DATA)),--data $(DATA))

.PHONY: up
up: .venv/.ready ## start Postgres and Airflow, and run the main job through Airflow, to a Home on the screen
	@$(HOMEREC) up

.PHONY: logs
logs: ## the last lines that Airflow's processes wrote
	@$(HOMEREC) logs

.PHONY: down
down: ## stop everything that was started
	@if [ -x $(HOMEREC) ]; then $(HOMEREC) down; fi

.PHONY: clean
clean: down ## remove what was made: data, environment
	@if [ -x $(HOMEREC) ]; then $(HOMEREC) db remove --yes; fi
	@rm -rf var .venv .uv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
