"""The examples of the documentation, in environments that have one extra or none.

What an environment has the packages for runs. Everything else names the extra to install.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.documentation.collector import Line, blocks
from tests.documentation.test_console import RUN, as_typed
from tests.documentation.world import CONFIG, make_world
from tests.packaging.conftest import Install
from tests.packaging.installed import ROOT
from tests.tables.sample_data import archive_of, every_schema, ingest, put

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.testing import ArchiveServer

#: An environment for each extra is made and filled; slow disks and indexes take minutes.
pytestmark = pytest.mark.timeout(900)

#: Collections of a year or more, which run with every package in tests/documentation.
_LONG = ("--start 2024", "-t fundingRate")

LINES = [line for line in RUN if not line.is_shell and not any(part in line.text for part in _LONG)]

#: Blocks that define tests, which need pytest.
_TESTS = ("def test_", "StoreSuite")

#: Reads every column with times, in each way that converts them.
_TIMES = """
import sys
from crypto_lakehouse.tables import Lake
with Lake.open(sys.argv[1]) as lake:
    for name in lake.tables:
        for field in lake.table(name).schema().fields:
            if str(field.field_type).split("(")[0] in {"timestamp", "timestamptz", "date"}:
                query = f'SELECT "{field.name}" AS at FROM {name}'
                rows = lake.sql(query).fetchall()
                assert rows
                assert lake.sql(query).to_arrow_table().num_rows == len(rows)
                if lake.schema(name) is not None:
                    scan = lake.scan(name, columns=[field.name])
                    assert len(scan.duckdb().fetchall()) == len(rows)
                    assert len(scan.polars().collect().rows()) == len(rows)
                print(name, field.name)
"""


#: What makes assets or flows with one extra alone, and what that prints.
_ORCHESTRATED = {
    "dagster": """
from crypto_lakehouse.core import ExtraMissing
from crypto_lakehouse.integrations.dagster import lakehouse_assets
config = {"markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"],
          "date_range": {"start": "2025-07-01"}, "output_directory": "out"}
print(*(key.to_user_string() for key in lakehouse_assets(config).keys))
try:
    lakehouse_assets(config, ingest=True)
except ExtraMissing as error:
    print("needs", error.extra)
""",
    "prefect": """
from crypto_lakehouse.integrations import prefect
print(prefect.collect.name)
""",
}
_PRINTED = {"dagster": "spot/klines\nneeds tables\n", "prefect": "crypto-lakehouse-collect\n"}


def needed(line: Line, extra: str = "") -> str:
    """The extra that a command needs first if there is only one extra; empty if none."""
    words = line.words[1:]
    if words[:2] == ["draw", "candles"] and extra == "plot":
        return "tables"
    if "--plot" in words or words[0] == "draw":
        return "plot"
    if {"--serve", "--metrics-textfile"} & {*words}:
        return "metrics"
    if "--otlp-endpoint" in words:
        return "otel"
    if words[0] in {"daemon", "mcp"}:
        return words[0]
    if words[0] == "fill" and "--dry-run" not in words:
        return "live"
    of_tables = {"ingest", "validate", "query", "export", "lake", "run"}
    is_of_tables = words[0] in of_tables or "--ingest" in words
    return "tables" if is_of_tables else ""


def tried(extra: str) -> list[Line]:
    """All without an extra; with one, those that need it, and one for each other extra."""
    if not extra:
        return LINES
    others = {needed(line): line for line in LINES if needed(line)}
    return [line for line in LINES if needed(line) == extra or line is others.get(needed(line))]


@pytest.fixture(scope="module")
def before(server_of_module: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which a user has worked."""
    folder = tmp_path_factory.mktemp("before")
    make_world(folder, server_of_module.url)
    return folder


@pytest.fixture(scope="module")
def server_of_module() -> Any:
    """The publisher."""
    with ArchiveServer() as source:
        yield source


def asked(
    install: Install, extra: str, before: Path, server: ArchiveServer, **examples: Any
) -> dict[str, Any]:
    """Run examples with the Python of an environment."""
    hidden = ("PYTHONPATH", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
    kept = {name: text for name, text in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [install(extra).interpreter, ROOT / "tests" / "packaging" / "example_driver.py", before],
        input=json.dumps({"lines": [], "pages": [], **examples}),
        env={**kept, "CRYPTO_LAKEHOUSE_SOURCE_URL": server.url, "NO_COLOR": "1",
             "CRYPTO_LAKEHOUSE_FILL": '{"until": "2025-07-14"}'},  # nothing is asked
        cwd=install(extra).home, check=False, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "extra",
    ["", "daemon", "dask", "live", "mcp", "metrics", "otel", "pandas", "plot", "postgres", "socks",
     "stores", "tables"],
)  # fmt: skip
def test_commands_run_or_name_the_extra_that_they_need(
    install: Install, before: Path, server_of_module: ArchiveServer, extra: str
) -> None:
    lines = tried(extra)
    typed = [as_typed(line, server_of_module).words[1:] for line in lines]
    found = asked(install, extra, before, server_of_module, lines=typed)["lines"]
    assert len(found) == len(lines) > 2
    enough = {"", extra, "live"} if extra == "tables" else {"", extra}
    for line, (code, said) in zip(lines, found, strict=True):
        assert "Traceback" not in said, f"{line.name}\n{said}"
        missing = needed(line, extra)
        if missing in enough:
            assert code == 0, f"{line.name}\n{said}"
        else:
            assert code == 2, f"{line.name}\n{said}"
            assert f"crypto-lakehouse[{missing}]" in said, f"{line.name}\n{said}"


@pytest.mark.parametrize("extra", ["", "tables"])
def test_code_runs_or_names_the_extra_that_it_needs(
    install: Install, before: Path, server_of_module: ArchiveServer, extra: str
) -> None:
    pages: dict[str, list[str]] = {}
    for block in blocks():
        is_of_tests = any(word in block.text for word in _TESTS)
        if block.language == "python" and not (is_of_tests or block.runs_elsewhere):
            text = block.text.replace("{...}", repr(CONFIG))
            pages.setdefault(block.place.partition(":")[0], []).append(text)
    found = asked(install, extra, before, server_of_module, pages=[*pages.values()])["pages"]
    errors = [error for page in found for error in page if error]
    # What makes a frame of pandas needs tables first; a block of its own may import pandas itself.
    for other in ("metrics", "otel", "daemon", "plot", *(["pandas"] if extra else [])):
        said = (f"crypto-lakehouse[{other}]", f"No module named '{other}'")
        of_other = [error for error in errors if any(each in error for each in said)]
        assert of_other, f"no block needs the extra {other}"
        errors = [error for error in errors if error not in of_other]
    if extra:
        assert errors == []
    else:
        assert len(errors) >= 3
        named = ("crypto-lakehouse[tables]", "No module named 'pandas'")
        assert [each for each in errors if not any(name in each for name in named)] == []


@pytest.mark.parametrize("extra", ["dagster", "prefect"])
def test_an_orchestrator_needs_no_other_extra(install: Install, extra: str) -> None:
    assert install(extra).python("-c", _ORCHESTRATED[extra]) == _PRINTED[extra]


def test_every_time_of_every_table_becomes_a_value_of_python(
    install: Install, tmp_path: Path
) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    archives = (put(tmp_path, archive_of(schema)) for schema in every_schema())
    ingest(catalog, archives, IngestSettings(workers=2))
    catalog.close()
    read = install("tables").python("-c", _TIMES, str(tmp_path / "lake"))
    assert len(read.splitlines()) > len(every_schema())
