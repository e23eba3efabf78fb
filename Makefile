# Start with `make demo` and `make test`; the other commands are for developers.
# You need git, make, and Python 3.11 or later with venv; everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format bench soak fuzz lock clean servers system-packages dist docs

help:
	@echo "make demo             a first collection with tables and charts, without a network"
	@echo "make test             all tests except the long ones"
	@echo "make test-all         all tests, then the coverage check"
	@echo "make lint             ruff, mypy --strict, pyright, import contracts, import cycles"
	@echo "make format           format the code with ruff"
	@echo "make bench            benchmarks against a local server"
	@echo "make soak             endurance tests: more examples, kills, mixed faults, 200,000 archives"
	@echo "make fuzz             coverage-guided fuzzing, a minute for each of seven parsers"
	@echo "make dist             build wheel and sdist, and test them in empty environments"
	@echo "make docs             build the documentation as a website, in site/"
	@echo "make servers          what tests run against: S3, Azure, PostgreSQL, Dagster, Prefect, backtesters, MkDocs, linters (in .servers/)"
	@echo "make system-packages  nginx, strace, faketime, proxies, Prometheus, Chromium, downloaders, shells (Debian, as root)"
	@echo "make lock             pin the newest versions of all dependencies, with their hashes"
	@echo "make clean            remove everything that make has created"

# Everything is installed from requirements/, with pinned versions and hashes.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement

$(VENV)/runtime: pyproject.toml requirements/runtime.txt src/crypto_lakehouse/version.py
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

# `make test-all` runs the long tests: kills, cancellation sweeps, long plans, real archives. Tests
# start hundreds of processes: without bytecode each would compile everything again. A worker that has
# no tests left takes over some of the other one's.
TESTS := -m pytest --numprocesses=auto --dist=worksteal
test test-all: export PYTHONDONTWRITEBYTECODE =
ifeq ($(COVERAGE),yes)
# To measure what is covered takes as much processor time as the tests. A process that a test has
# killed may leave a torn data file, which every later command would report; it is removed.
test: $(VENV)/develop
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run $(TESTS) -m "not slow" $(PYTEST_ARGS)
	@combined=$$($(BIN)/coverage combine --quiet 2>&1) || { echo "$$combined"; exit 1; }
	@rm -f .coverage.*
else
test: $(VENV)/develop
	@$(BIN)/python $(TESTS) -m "not slow" $(PYTEST_ARGS)
endif

# All tests, the long ones last. What must be covered is so by the short ones alone, which doubles
# their processor time: every branch from core up to collection, and 95 % overall. Missing lines are
# shown; the last line of a successful run comes from pytest. With COVERAGE=added, the short tests do
# not run again: .coverage has what they have covered. Of the long tests, half as many again as there
# are processors run at once: they wait for disks, time limits and other machines' signs of life.
LONG_AT_ONCE = $(shell $(BIN)/python -c 'import os; print((os.cpu_count() or 1) * 3 // 2)')
WHOLE := */core/*,*/matrix/*,*/planning/*,*/coverage/*,*/http/*,*/zips/*,*/collection/*,*/shards.py
test-all: $(VENV)/develop
	@[ "$(COVERAGE)" = added ] || $(MAKE) test COVERAGE=yes
	@report=$$($(BIN)/coverage report --include='$(WHOLE)' --fail-under=100) || \
		{ echo "$$report"; exit 1; }
	@report=$$($(BIN)/coverage report --fail-under=95) || { echo "$$report"; exit 1; }
	@$(BIN)/python $(TESTS:auto=$(LONG_AT_ONCE)) -m slow $(PYTEST_ARGS)

lint: $(VENV)/develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --project . --pythonpath $(BIN)/python
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
	$(BIN)/python benchmarks/fill.py
	$(BIN)/python benchmarks/record.py
	$(BIN)/python benchmarks/record_socket.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python -m benchmarks.tables

# Property tests with all their examples, chosen anew; then the runs that take minutes each.
# SOAK_ARGS, as in `make soak SOAK_ARGS="long --archives 1000000"`; FUZZ_ARGS likewise.
soak: $(VENV)/develop
	THOROUGH=1 $(BIN)/python -m pytest --numprocesses=auto -m hypothesis
	THOROUGH=1 $(BIN)/python -m pytest --numprocesses=auto tests/stores/objects/test_kills.py
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

fuzz: $(VENV)/develop
	$(INSTALL) requirements/fuzz.txt
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

# Pins the newest versions that pyproject.toml allows, for every platform. Only this target needs a
# full package index.
EXPORT := ../$(BIN)/uv export --quiet --no-header --no-annotate --no-emit-project \
	--format requirements.txt
# What the image of deploy/Dockerfile has.
IMAGE := $(addprefix --extra ,daemon live metrics otel postgres socks stores tables)
lock: $(VENV)/develop
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@rm -rf .lock && mkdir .lock  # any uv works: the pins do not depend on its version
	@sed 's/^dynamic = .*/version = "0"/' pyproject.toml >.lock/pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --extra dagster --extra prefect --extra tables \
		--output-file requirements/orchestrators.txt .lock/pyproject.toml
	@sed -i '/^prefect = /d' .lock/pyproject.toml  # it holds back packages that others share
	cd .lock && $(EXPORT) --no-dev --group build --output-file ../requirements/runtime.txt
	cd .lock && $(EXPORT) --no-dev --group build $(IMAGE) --output-file ../requirements/image.txt
	cd .lock && $(EXPORT) --only-group dev --output-file ../requirements/develop.txt
	cd .lock && $(EXPORT) --only-group tables --output-file ../requirements/tables.txt
	cd .lock && $(EXPORT) --only-group bench --output-file ../requirements/bench.txt
	cd .lock && $(EXPORT) --only-group fuzz --output-file ../requirements/fuzz.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --group servers --output-file requirements/servers.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --group witnesses --output-file requirements/witnesses.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --group docs --output-file requirements/docs.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --group checkers --output-file requirements/checkers.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --group backtesters --output-file requirements/backtesters.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --group notebooks --output-file requirements/notebooks.txt
	@rm -rf .lock

# Object stores, a database, an older DuckDB with its Iceberg reader, Dagster and Prefect, MkDocs,
# backtesters, with environments of their own: their packages are not ours. Tests that need one are
# skipped without it.
# Azurite takes Node.js 20 or later with npm.
SERVERS := .servers
servers: $(SERVERS)/python $(SERVERS)/duckdb $(SERVERS)/orchestrators $(SERVERS)/docs \
	$(SERVERS)/checkers $(SERVERS)/backtesters $(SERVERS)/notebooks \
	$(SERVERS)/node

$(SERVERS)/python: requirements/servers.txt
	$(PYTHON) -m venv $(SERVERS)
	$(SERVERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements/servers.txt
	@touch $@

# It has its name once it is complete: tests go by that.
$(SERVERS)/duckdb: requirements/witnesses.txt
	@rm -rf $@ $@.part
	$(PYTHON) -m venv $@.part
	$@.part/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements/witnesses.txt
	@touch $@.part && mv $@.part $@

# Bytecode is made when a module is first imported: most are not.
$(SERVERS)/orchestrators: requirements/orchestrators.txt
	@rm -rf $@ $@.part
	$(PYTHON) -m venv $@.part
	$@.part/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--no-compile --requirement requirements/orchestrators.txt
	@touch $@.part && mv $@.part $@

$(SERVERS)/docs: requirements/docs.txt
	@rm -rf $@ $@.part
	$(PYTHON) -m venv $@.part
	$@.part/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--no-compile --requirement requirements/docs.txt
	@touch $@.part && mv $@.part $@

# The site is static files: any web server can serve them. A link that leads nowhere ends the build.
# `.servers/docs/bin/python -m mkdocs serve` shows the pages while they are edited.
docs: $(SERVERS)/docs
	@NO_MKDOCS_2_WARNING=1 $(SERVERS)/docs/bin/python -m mkdocs build --strict --quiet
	@echo "the documentation is in site/: open site/index.html"

# Checks the files of deploy/, and installs the package with uv and pipx.
$(SERVERS)/checkers: requirements/checkers.txt
	@rm -rf $@ $@.part
	$(PYTHON) -m venv $@.part
	$@.part/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--no-compile --requirement requirements/checkers.txt
	@touch $@.part && mv $@.part $@

# Programs that load what `export` writes; they take a minute to install, and 1.3 GB.
$(SERVERS)/backtesters: requirements/backtesters.txt
	@rm -rf $@ $@.part
	$(PYTHON) -m venv $@.part
	$@.part/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--no-compile --requirement requirements/backtesters.txt
	@touch $@.part && mv $@.part $@

$(SERVERS)/notebooks: requirements/notebooks.txt
	@rm -rf $@ $@.part
	$(PYTHON) -m venv $@.part
	$@.part/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--no-compile --requirement requirements/notebooks.txt
	@touch $@.part && mv $@.part $@

$(SERVERS)/node: requirements/servers/package.json requirements/servers/package-lock.json
	@mkdir -p $(SERVERS) && cp requirements/servers/*.json $(SERVERS)
	@command -v npm >/dev/null || { echo "npm is not installed: tests on Azurite are skipped"; exit 1; }
	cd $(SERVERS) && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

system-packages:
	apt-get update
	apt-get install --yes --no-install-recommends nginx-light libnginx-mod-http-lua \
		aria2 wget2 curl strace faketime tinyproxy-bin microsocks iproute2 prometheus chromium zsh fish groff-base

clean:
	rm -rf $(VENV) $(SERVERS) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache demo-output fuzz-crashes build dist site

# Builds into dist/ and tests the result, as part of `make test-all` does.
dist: $(VENV)/develop
	@rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m pytest tests/packaging/test_distribution.py
