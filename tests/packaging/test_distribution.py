"""The wheel and the sdist, used as by somebody who has only them.

Each extra is installed alone into an empty environment and does its work once. Versions are those
of `requirements/`. pip needs a package index; without one the tests that install are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.packaging.conftest import Install
from tests.packaging.installed import PIP, ROOT, Environment, build, run, uv_fault
from tests.proxies.scene import HTTP, place_of
from tests.proxies.socks_server import SocksServer
from tests.services.bucket import Bucket
from tests.services.installed import program
from tests.services.postgres import PostgresServer

from crypto_lakehouse import __version__
from crypto_lakehouse.testing import ArchiveServer

#: An environment for each extra is made and filled; slow disks and indexes take minutes.
pytestmark = pytest.mark.timeout(900)

_SELECTED = ("-s", "BTCUSDT", "--markets", "spot", "-t", "klines", "-i", "1h",
             "--date", "2025-07-15", "--discovery", "calendar")  # fmt: skip

#: What each extra brings, by the names of its modules.
_EXTRAS = {
    "daemon": {"cronsim"},
    "dask": {"dask", "distributed"},
    "live": {"zstandard"},
    "mcp": {"mcp", "mcp_types"},
    "metrics": {"prometheus_client"},
    "otel": {"opentelemetry", "requests"},
    "pandas": {"pandas"},
    "plot": {"matplotlib"},
    "postgres": {"psycopg"},
    "socks": {"aiohttp_socks"},
    "stores": {"obstore"},
    "tables": {"duckdb", "fsspec", "polars", "pyarrow", "pyiceberg", "pytz"},
}

#: Extras whose packages are in an environment of their own: tests/packaging/test_extras.py.
_ELSEWHERE = {"dagster", "prefect"}

#: Every way to read a table (docs/tables.md), times included: DuckDB converts them with pytz.
_EVERY_WAY = """
from crypto_lakehouse.tables import Lake
with Lake.open("data") as lake:
    bars = lake.scan("spot.klines", symbols=["BTCUSDT"], interval="1h", start="2025-07-15")
    ways = [bars.polars().collect().rows(), bars.arrow().read_all().to_pylist(),
            bars.duckdb().fetchall(), lake.sql("FROM spot.klines").fetchall()]
    print(*map(len, ways))
"""

#: A client of the Model Context Protocol: it starts the command, and calls two tools.
_CLIENT = """
import asyncio, sys
from pathlib import Path
from mcp import Client
from mcp.client.stdio import StdioServerParameters
async def main():
    program = str(Path(sys.executable).with_name("crypto-lakehouse"))
    command = StdioServerParameters(command=program, args=["mcp", "-o", "data"])
    async with Client(command) as client:
        for name, given in (("status", {}), ("query", {"sql": "SHOW TABLES"})):
            print((await client.call_tool(name, given)).content[0].text)
asyncio.run(main())
"""

#: The pytest plugin is loaded by pytest, which the package does not require.
_NO_EXTRA = {"pytest"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this tree, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder / "built")) as file:
        file.extractall(folder / "unpacked", filter="data")
    (tree,) = (folder / "unpacked").iterdir()
    return tree


def _members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def _files(tree: Path) -> set[str]:
    return {path.relative_to(tree).as_posix() for path in tree.rglob("*.py")}


def _collect(environment: Environment, server: ArchiveServer, *options: str) -> None:
    shutil.rmtree(environment.home / "data", ignore_errors=True)
    environment.command("collect", "-o", "data", *_SELECTED, "--source-url", server.url, *options)


def test_the_wheel_holds_the_package_and_its_facts_and_nothing_else(wheel: Path) -> None:
    held = _members(wheel)
    assert {name for name in held if name.endswith(".py")} == _files(ROOT / "src")
    facts = {f"crypto_lakehouse/matrix/{path.name}" for path in (ROOT / "matrix").glob("*.json")}
    skill = "crypto_lakehouse/integrations/SKILL.md"
    assert facts | {"crypto_lakehouse/py.typed", skill} < held


def test_the_sdist_holds_the_tests_and_builds_the_same_wheel(
    wheel: Path, unpacked: Path, tmp_path: Path
) -> None:
    assert _members(build("wheel", unpacked, tmp_path / "again")) == _members(wheel)
    for folder in ("src", "tests", "benchmarks"):
        assert _files(unpacked / folder) == _files(ROOT / folder)


def test_the_wheel_alone_collects_and_names_the_extra_that_a_command_needs(
    install: Install, server: ArchiveServer
) -> None:
    alone = install("")
    assert __version__ in alone.command("--version")
    assert (alone.folder / "share" / "man" / "man1" / "crypto-lakehouse.1").is_file()
    assert "klines" in alone.command("matrix")
    _collect(alone, server)
    assert "BTCUSDT" in alone.command("status", "-o", "data", "--json")
    assert "crypto-lakehouse[tables]" in alone.command("ingest", "-o", "data", wanted=2)
    allowed = set().union(*_EXTRAS.values(), _NO_EXTRA)
    assert {name: of for name, of in alone.lacking().items() if of not in allowed} == {}


def test_no_extra_is_left_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*project["optional-dependencies"]} - _ELSEWHERE == {*_EXTRAS}


def test_pip_adds_an_extra_to_what_is_installed_and_asks_for_nothing_of_its_name(
    install: Install,
) -> None:
    """What commands say that need one, as `pip install 'crypto-lakehouse[daemon]'`, is true."""
    alone = install("")
    run(
        [sys.executable, *PIP, "--python", alone.interpreter, "install", "--dry-run",
         "--report", "added.json", "crypto-lakehouse[daemon]"],
        alone.home,
    )  # fmt: skip
    added = json.loads((alone.home / "added.json").read_text())["install"]
    assert [each["metadata"]["name"] for each in added] == ["cronsim"]


@pytest.fixture(scope="module")
def repository(unpacked: Path) -> str:
    """The URL of a repository of git that has the sources."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@a.example")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "all")):
        run([*git, *words], unpacked)
    return f"git+file://{unpacked}"


@pytest.mark.parametrize("tool", ["uv", "pipx"])
@pytest.mark.parametrize("source", ["sources", "git"])
def test_it_is_installed_as_a_tool(
    tool: str, source: str, install: Install, repository: str, unpacked: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    install("")  # skips if there is no index
    if fault := uv_fault():
        pytest.skip(f"uv gets no packages, so NO tool was installed by {tool}: {fault}")
    for name in ("UV_TOOL_DIR", "PIPX_HOME", "PIPX_MAN_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("UV_TOOL_BIN_DIR", "PIPX_BIN_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "bin"))
    wanted = ".[daemon]" if source == "sources" else f"crypto-lakehouse[daemon] @ {repository}"
    python = program("checkers")
    called = {"uv": [str(python.with_name("uv")), "tool"],
              "pipx": [str(python), "-m", "pipx"]}  # fmt: skip
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    run([*called[tool], "install", wanted], unpacked)
    command = str(tmp_path / "bin" / "crypto-lakehouse")
    assert __version__ in run([command, "--version"], tmp_path)
    assert "matrix_path" in run([command, "config", "schema"], tmp_path)


@pytest.mark.parametrize("extra", _EXTRAS)
def test_every_public_name_that_needs_an_extra_is_there_with_it(
    install: Install, extra: str
) -> None:
    lacking = install(extra).lacking()
    assert {name: of for name, of in lacking.items() if of in _EXTRAS[extra]} == {}


def test_the_extra_dask_collects_on_a_cluster_of_this_machine(
    install: Install, server: ArchiveServer
) -> None:
    environment = install("dask")
    (environment.home / "cluster.json").write_text('{"executor": "dask", "processes": 2}')
    _collect(environment, server, "--config", "cluster.json")
    assert "1 ok" in environment.command("verify", "-o", "data")
    said = install("").command(
        "collect", "-o", "other", *_SELECTED, "--source-url", server.url,
        "--config", str(environment.home / "cluster.json"), wanted=2,
    )  # fmt: skip
    assert "crypto-lakehouse[dask]" in said


def test_the_extra_postgres_keeps_the_ledger_in_a_database(
    install: Install, server: ArchiveServer, postgres_server: PostgresServer
) -> None:
    environment = install("postgres")
    ledger = ("--ledger", postgres_server.url(), "--ledger-schema", "distribution")
    _collect(environment, server, *ledger)
    assert "BTCUSDT" in environment.command("status", "-o", "data", *ledger)
    assert not (environment.home / "data" / ".lakehouse" / "ledger.sqlite").exists()
    said = install("").command(
        "collect", "-o", "other", *_SELECTED, "--source-url", server.url, *ledger, wanted=2
    )
    assert "crypto-lakehouse[postgres]" in said


def test_the_extra_metrics_counts_for_prometheus(install: Install, server: ArchiveServer) -> None:
    environment = install("metrics")
    watched = ("--metrics-textfile", "lake.prom", "--serve", "0")
    _collect(environment, server, *watched)
    text = (environment.home / "lake.prom").read_text()
    assert f'crypto_lakehouse_build_info{{version="{__version__}"}} 1.0' in text
    said = install("").command(
        "collect", "-o", "other", *_SELECTED, "--source-url", server.url, *watched, wanted=2
    )
    assert "crypto-lakehouse[metrics]" in said


def test_the_extra_otel_sends_metrics_and_traces(install: Install, server: ArchiveServer) -> None:
    paths: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        Thread(target=receiver.serve_forever, daemon=True).start()
        watched = ("--otlp-endpoint", f"http://127.0.0.1:{receiver.server_port}")
        _collect(install("otel"), server, *watched)
        receiver.shutdown()
    assert sorted(paths) == ["/v1/metrics", "/v1/traces"]
    said = install("").command(
        "collect", "-o", "other", *_SELECTED, "--source-url", server.url, *watched, wanted=2
    )
    assert "crypto-lakehouse[otel]" in said


def test_the_extra_daemon_knows_when_pipelines_are_due(install: Install) -> None:
    environment = install("daemon")
    values = {"output_directory": "data", "markets": ["spot"], "symbols": ["BTCUSDT"],
              "date_range": {"start": "2025-07-15"},
              "pipelines": {"yearly": {"schedule": "0 0 29 2 *", "steps": {"collect": {}}}},
              }  # fmt: skip
    for name in ("daemon", ""):
        (install(name).home / "yearly.json").write_text(json.dumps(values))
    assert "2028-02-29T00:00:00Z" in environment.command("daemon", "yearly.json", "--dry-run")
    said = install("").command("daemon", "yearly.json", "--dry-run", wanted=2)
    assert "crypto-lakehouse[daemon]" in said


def test_the_extra_mcp_serves_an_output(install: Install, server: ArchiveServer) -> None:
    environment = install("mcp")
    _collect(environment, server)
    status, query = environment.python("-c", _CLIENT).splitlines()
    assert json.loads(status)["totals"]["verified_days"] == 1
    assert "crypto-lakehouse[tables]" in query
    said = install("").command("mcp", "-o", "data", wanted=2)
    assert "crypto-lakehouse[mcp]" in said


def test_the_extra_plot_draws_the_coverage(install: Install, server: ArchiveServer) -> None:
    environment = install("plot")
    _collect(environment, server)
    environment.command("status", "-o", "data", "--plot", "coverage.svg")
    assert "<svg" in (environment.home / "coverage.svg").read_text()


def test_the_extra_stores_collects_into_a_bucket(
    install: Install, server: ArchiveServer, rclone_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    rclone_bucket.give_credentials(monkeypatch)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(dict(rclone_bucket.storage)))
    url = rclone_bucket.fresh_prefix()
    words = ("collect", "-o", url, *_SELECTED, "--source-url", server.url)
    environment = install("stores")
    environment.command(*words, "--state-directory", str(environment.home / "state"))
    shown = environment.command("verify", "-o", url, "--state-directory", "state")
    assert "1 ok" in shown
    assert "crypto-lakehouse[stores]" in install("").command(*words, wanted=2)


def test_the_extra_socks_collects_through_a_proxy_that_alone_knows_the_name_of_the_source(
    install: Install, server: ArchiveServer
) -> None:
    with SocksServer(names={HTTP: place_of(server)}) as proxy:
        install("socks").command(
            "collect", "-o", "data", *_SELECTED, "--source-url", f"http://{HTTP}", "--allow-http",
            "--proxy", proxy.url(),
        )  # fmt: skip
        assert HTTP in proxy.hosts


def test_the_extra_tables_ingests_and_answers(install: Install, server: ArchiveServer) -> None:
    environment = install("tables")
    _collect(environment, server)
    environment.command("ingest", "-o", "data")
    counted = environment.command(
        "query", "-o", "data", "--format", "csv", "SELECT count(*) AS n FROM spot.klines"
    )
    assert counted.split()[-1] == "24"
    assert environment.python("-c", _EVERY_WAY) == "24 24 24 24\n"


def test_an_application_that_uses_the_whole_surface_has_no_type_error(
    install: Install, tmp_path: Path
) -> None:
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy]\nstrict = true\nexplicit_package_bases = true\n")
    run(
        [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir",
         str(tmp_path / "cache"), "--python-executable", install("tables").interpreter,
         "tests/typing/surface.py"],
        ROOT,
    )  # fmt: skip
    project = tmp_path / "pyrightconfig.json"
    project.write_text('{"include": ["tests/typing"], "typeCheckingMode": "strict"}')
    for part in ("tests/typing/surface.py", "tests/stores/memory.py"):
        (tmp_path / part).parent.mkdir(parents=True)
        shutil.copyfile(ROOT / part, tmp_path / part)
    run(
        [sys.executable, "-m", "pyright", "--project", str(project),
         "--pythonpath", install("tables").interpreter],
        tmp_path,
    )  # fmt: skip
