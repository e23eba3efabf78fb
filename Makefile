# Two commands for a newcomer: `make demo` and `make test`. Everything else is for developers.
# Needed: git, make, and Python 3.11 or later with venv; everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench clean system-packages

help:
	@echo "make demo             a first collection, without a network"
	@echo "make test             every test, with the coverage that must hold"
	@echo "make lint             ruff, mypy --strict, import contracts"
	@echo "make format           let ruff format the code"
	@echo "make bench            benchmarks against a local server"
	@echo "make system-packages  nginx, strace and the benchmarks' rivals (Debian, as root)"
	@echo "make clean            remove what make has made"

$(VENV)/runtime: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/develop: $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

demo: $(VENV)/runtime
	@$(BIN)/crypto-lakehouse demo

# Branch coverage: all of core, planning and collection, 95 % of the whole. What is missing is
# shown; the last line of a good run is pytest's own.
WHOLE := */core/*,*/planning/*,*/collection/*
test: $(VENV)/develop
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	@$(BIN)/coverage combine --quiet
	@report=$$($(BIN)/coverage report --include='$(WHOLE)' --fail-under=100) || \
		{ echo "$$report"; exit 1; }
	@report=$$($(BIN)/coverage report --fail-under=95) || { echo "$$report"; exit 1; }

lint: $(VENV)/develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/develop
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks.suite
	$(BIN)/python benchmarks/planning.py
	$(BIN)/python benchmarks/listing.py
	$(BIN)/python benchmarks/second_run.py

system-packages:
	apt-get update
	apt-get install --yes --no-install-recommends nginx-light libnginx-mod-http-lua \
		aria2 wget2 curl strace

clean:
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache demo-output build dist
