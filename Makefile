# Everything that a person or CI runs. Needs make and Python 3.11 or later; the rest is installed into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup test test-kinds crash soak lint fix demo bench lock clean

BIN := .venv/bin
READY := .venv/.ready
# One file's tests stay together, so that they share their servers.
PYTEST_ARGS ?= -n 2 --dist loadfile
COMPILE := $(BIN)/uv --no-progress --no-config pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name words; do \
		printf '  make %-10s %s\n' "$$name" "$$words"; done

setup: $(READY) ## make .venv from requirements.lock (the other targets do it when needed)

$(READY): requirements.lock pyproject.toml scripts/setup
	@scripts/setup

test: $(READY) ## run the tests; PYTEST_ARGS='-k name' chooses
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-kinds: $(READY) ## what every kind must hold, as a table, with the service killed at their steps
	@ROTATOR_CRASH=kinds $(BIN)/python -m pytest $(PYTEST_ARGS) tests/e2e/test_compromise.py tests/kinds/contract tests/kinds tests/crash \
		tests/provision/test_deny.py tests/provision/test_exactness.py

crash: $(READY) ## kill the service at every failpoint (takes long)
	@ROTATOR_CRASH=full $(BIN)/python -m pytest -m crash $(PYTEST_ARGS)

soak: $(READY) ## ten minutes of all kinds with lives of half a minute (ROTATOR_SOAK_SECONDS=600)
	@ROTATOR_SOAK_SECONDS=$${ROTATOR_SOAK_SECONDS:-600} $(BIN)/python -m pytest -s tests/soak

lint: $(READY) ## check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: $(READY) ## repair style where that is mechanical
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

demo: $(READY) ## everything on this machine with real servers; 90 seconds where stdout is no terminal
	@if [ -t 1 ]; then exec $(BIN)/rotator dev; else exec $(BIN)/rotator dev --for 90; fi

bench: $(READY) ## run the benchmarks
	@$(BIN)/python -m benchmarks

lock: $(READY) ## write the locks again from pyproject.toml
	@$(COMPILE) --extra servers --group dev --output-file requirements.lock
	@$(COMPILE) --constraint requirements.lock --output-file requirements-runtime.lock
	@$(BIN)/python scripts/lock_server_wheels

clean: ## remove .venv, caches and build results (fetched servers stay in the cache)
	@rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
