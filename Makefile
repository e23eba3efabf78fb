# Two commands for a newcomer: `make demo` and `make test`. Everything else is for developers.
# Needed: git, make, and Python 3.11 or later with venv; everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format bench soak fuzz lock clean system-packages dist

help:
	@echo "make demo             a first collection, tables and charts of it, without a network"
	@echo "make test             the tests, but for the long ones"
	@echo "make test-all         the long tests, and the coverage that all must reach together"
	@echo "make lint             ruff, mypy --strict, import contracts, circles of imports"
	@echo "make format           let ruff format the code"
	@echo "make bench            benchmarks against a local server"
	@echo "make soak             all examples, 200 kills, 20,000 mixed faults, 200,000 archives"
	@echo "make fuzz             coverage-guided fuzzing, a minute for each of seven parsers"
	@echo "make dist             wheel and sdist, installed and used in empty environments"
	@echo "make system-packages  nginx, strace, faketime, proxies, the benchmarks' rivals (Debian, as root)"
	@echo "make lock             pin the newest versions of all dependencies, with their hashes"
	@echo "make clean            remove what make has made"

# Everything is installed from requirements/, where versions and hashes are pinned.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement

$(VENV)/runtime: pyproject.toml requirements/runtime.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/develop: $(VENV)/runtime requirements/develop.txt
	$(INSTALL) requirements/develop.txt
	@touch $@

$(VENV)/tables: $(VENV)/runtime requirements/tables.txt
	$(INSTALL) requirements/tables.txt
	@touch $@

demo: $(VENV)/tables
	@$(BIN)/crypto-lakehouse demo

# What a newcomer runs. The long tests are left to `make test-all`: kills, sweeps of cancellations,
# long plans, real archives. A process that a test has killed may leave a torn data file of
# coverage, which every later command would report: it is taken away.
# Tests start hundreds of processes: without bytecode each would compile everything anew. A worker
# that has nothing left takes over tests of the other one.
COVERED = $(BIN)/coverage run -m pytest --numprocesses=auto --dist=worksteal
test test-all: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/develop
	@rm -f .coverage .coverage.*
	@$(COVERED) -m "not slow" $(PYTEST_ARGS)
	@combined=$$($(BIN)/coverage combine --quiet 2>&1) || { echo "$$combined"; exit 1; }
	@rm -f .coverage.*

# The long tests, whose coverage is added to that of `make test`; then what must be covered: every
# branch from core up to collection, and 95 % of the whole. What is missing is shown; the last line
# of a good run is pytest's own.
WHOLE := */core/*,*/matrix/*,*/planning/*,*/coverage/*,*/http/*,*/zips/*,*/collection/*,*/shards.py
test-all: $(VENV)/develop
	@[ -f .coverage ] || $(MAKE) test
	@$(COVERED) -m slow $(PYTEST_ARGS)
	@combined=$$($(BIN)/coverage combine --append --quiet 2>&1) || { echo "$$combined"; exit 1; }
	@rm -f .coverage.*
	@report=$$($(BIN)/coverage report --include='$(WHOLE)' --fail-under=100) || \
		{ echo "$$report"; exit 1; }
	@report=$$($(BIN)/coverage report --fail-under=95) || { echo "$$report"; exit 1; }

lint: $(VENV)/develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.architecture

format: $(VENV)/develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/develop
	$(INSTALL) requirements/bench.txt
	$(BIN)/python -m benchmarks.suite
	$(BIN)/python benchmarks/planning.py
	$(BIN)/python benchmarks/listing.py
	$(BIN)/python benchmarks/second_run.py
	$(BIN)/python -m benchmarks.tables

# Property tests with all their examples, chosen anew; then the runs that take minutes each.
# SOAK_ARGS, as in `make soak SOAK_ARGS="long --archives 1000000"`; FUZZ_ARGS likewise.
soak: $(VENV)/develop
	THOROUGH=1 $(BIN)/python -m pytest --numprocesses=auto -m hypothesis
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

fuzz: $(VENV)/develop
	$(INSTALL) requirements/fuzz.txt
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

# Pins the newest versions that pyproject.toml allows, for every platform. The only target that
# needs the index of packages to be more than a place to fetch them from.
EXPORT := ../$(BIN)/uv export --quiet --no-header --no-annotate --no-emit-project \
	--format requirements.txt
lock: $(VENV)/develop
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@rm -rf .lock && mkdir .lock  # any version does: the pins do not depend on it
	@sed 's/^dynamic = .*/version = "0"/' pyproject.toml >.lock/pyproject.toml
	cd .lock && $(EXPORT) --no-dev --group build --output-file ../requirements/runtime.txt
	cd .lock && $(EXPORT) --only-group dev --output-file ../requirements/develop.txt
	cd .lock && $(EXPORT) --only-group tables --output-file ../requirements/tables.txt
	cd .lock && $(EXPORT) --only-group bench --output-file ../requirements/bench.txt
	cd .lock && $(EXPORT) --only-group fuzz --output-file ../requirements/fuzz.txt
	@rm -rf .lock

system-packages:
	apt-get update
	apt-get install --yes --no-install-recommends nginx-light libnginx-mod-http-lua \
		aria2 wget2 curl strace faketime tinyproxy-bin microsocks

clean:
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache demo-output fuzz-crashes build dist

# Builds into dist/, and uses what is built, as a part of `make test-all` does.
dist: $(VENV)/develop
	@rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m pytest tests/packaging/test_distribution.py
