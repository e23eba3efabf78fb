"""Each command goes through the proxy, as a process of its own; no name is looked up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.secret_faults import PASSWORD, check
from tests.proxies.scene import HTTP, HTTPS, ORIGINS, OpenProxy, Scene
from tests.workflows.conftest import KEY, SIDECAR, make_zip, member_of, sidecar_of

from crypto_lakehouse.testing import ArchiveServer

SELECTED = [
    "-s",
    "BTCUSDT",
    "--markets",
    "spot",
    "-t",
    "klines",
    "-i",
    "1h",
    "--date",
    "2025-07-15",
]

#: A measurement ends with its first body, whatever time that takes.
ONE_BODY = ["--settings", "1,2", "--seconds", "600", "--max-bytes", "1"]


def commands(origin: str) -> dict[str, list[str]]:
    """Each command that makes requests."""
    source = ["--source-url", origin]
    listed = [*source, "--listing-url", origin]
    collect = ["collect", "-o", "out", *SELECTED, *source, "--max-retries", "0"]
    return {
        "collect": [*collect, "--discovery", "calendar"],
        "collect by listing": [*collect, "--discovery", "listing", "--listing-url", origin],
        "collect in processes": [*collect, "--processes", "2"],
        "plan": ["plan", *SELECTED, *listed, "--discovery", "listing", "--max-retries", "0"],
        "bench": ["bench", *SELECTED, *listed, *ONE_BODY],
        "bench by calendar": ["bench", *SELECTED, *source, "--discovery", "calendar", *ONE_BODY],
        "matrix refresh": ["matrix", "refresh", *listed, "--max-retries", "0", "--to", "m.json"],
        "verify": ["verify", "-o", "out", "--repair", *source, "--max-retries", "0"],
    }  # fmt: skip


class Runner:
    """Runs commands in an empty directory, with one archive at the source."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene = scene
        self.folder = folder
        folder.mkdir()

    def __call__(self, arguments: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; what it says holds no secret."""
        ended = subprocess.run(
            [sys.executable, "-m", "crypto_lakehouse", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "NO_COLOR": "1",
                "CRYPTO_LAKEHOUSE_ALLOW_HTTP": "yes",
                "SSL_CERT_FILE": str(self.scene.ca_bundle),
                **environ,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        check([ended.stdout, ended.stderr], self.folder)
        return ended

    def damage(self) -> None:
        """A damaged archive stands in the output directory."""
        path = self.folder / "out" / KEY
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no zip")
        data = self.scene.collection.server.read(KEY)
        (self.folder / "out" / SIDECAR).write_bytes(sidecar_of(data, KEY.rpartition("/")[2]))


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """A source that has one archive, so that its listing is short."""
    data = make_zip(member_of(KEY), b"1,2,3\n")
    with ArchiveServer(generate=False) as server:
        server.put(KEY, data)
        server.put(SIDECAR, sidecar_of(data, KEY.rpartition("/")[2]))
        yield server


@pytest.fixture
def run(scene: Scene, tmp_path: Path) -> Runner:
    """Runs commands."""
    return Runner(scene, tmp_path / "here")


def code_of(name: str) -> int:
    """The exit code of a command that does what it is asked for."""
    return 6 if name.startswith("bench") else 0


def went_through(run: Runner, proxy: OpenProxy, host: str) -> None:
    """All that was asked was asked through the proxy."""
    assert set(proxy.hosts) == {host}
    assert run.scene.looked_up() == set()
    assert run.scene.collection.server.requests


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("name", commands(""))
def test_each_command_goes_through_the_proxy_of_the_environment(
    run: Runner, name: str, origin: str
) -> None:
    run.damage()
    with run.scene.proxy("http", "me", PASSWORD) as proxy:
        ended = run(commands(origin)[name], HTTP_PROXY=proxy.url, https_proxy=proxy.url)
    assert ended.returncode == code_of(name), ended.stderr
    note = f"note: proxy: {origin} via http://***@127.0.0.1:{proxy.server.port} ("
    assert ended.stderr.count(note) == 1, ended.stderr
    went_through(run, proxy, origin.partition("://")[2])


@pytest.mark.parametrize("kind", ["socks5h", "socks5"])
@pytest.mark.parametrize("name", commands(""))
def test_each_command_goes_through_the_proxy_of_its_option(
    run: Runner, name: str, kind: str
) -> None:
    run.damage()
    options = ["--ca-bundle", str(run.scene.ca_bundle)]
    with run.scene.proxy(kind, "me", PASSWORD) as proxy:
        command = [*commands(ORIGINS[1])[name], *options, "--proxy", proxy.url]
        ended = run(command, SSL_CERT_FILE="", HTTPS_PROXY="http://127.0.0.1:1")
    assert ended.returncode == code_of(name), ended.stderr
    assert f"via {kind}://***@127.0.0.1:{proxy.server.port} (`proxy`)" in ended.stderr
    went_through(run, proxy, HTTPS)


def test_a_file_names_the_proxy_of_a_repair(run: Runner) -> None:
    run.damage()
    with run.scene.proxy("http", "me", PASSWORD) as proxy:
        keys = {"source_url": ORIGINS[0], "allow_http": True, "proxy": proxy.url}
        (run.folder.parent / "c.json").write_text(json.dumps(keys))
        ended = run(["verify", "-o", "out", "--repair", "--config", "../c.json"])
    assert ended.returncode == 0, ended.stderr
    assert "1 repaired, 0 not" in ended.stdout
    went_through(run, proxy, HTTP)


def test_a_quiet_collection_prints_its_report_alone(run: Runner) -> None:
    with run.scene.proxy("http") as proxy:
        command = [*commands(ORIGINS[1])["collect"], "--quiet", "--json"]
        ended = run(command, HTTPS_PROXY=proxy.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["totals"]["verified"] == 1
    went_through(run, proxy, HTTPS)


@pytest.mark.parametrize("name", ["collect", "collect in processes", "plan", "matrix refresh"])
def test_a_wrong_password_ends_a_command_without_showing_it(run: Runner, name: str) -> None:
    with run.scene.proxy("http", "me", "another") as proxy:
        url = f"http://me:{PASSWORD}@127.0.0.1:{proxy.server.port}"
        ended = run(commands(ORIGINS[1])[name], HTTPS_PROXY=url)
        logged = run([*commands(ORIGINS[1])["collect"], "--log-format", "json"], HTTPS_PROXY=url)
    assert ended.returncode != 0
    assert "407" in ended.stderr + ended.stdout
    assert "***@127.0.0.1" in logged.stderr
    assert run.scene.collection.server.requests == []
    assert run.scene.looked_up() == set()


def test_without_its_extra_a_socks_proxy_is_refused(run: Runner, tmp_path: Path) -> None:
    """A package that cannot be found hides the one that is installed."""
    with run.scene.proxy("socks5h") as proxy:
        hidden = "import importlib.util, sys; found = importlib.util.find_spec\n"
        hidden += "import crypto_lakehouse.http.proxies as proxies\n"
        hidden += "proxies.find_spec = lambda name: None\n"
        hidden += "from crypto_lakehouse.cli.main import main; main(sys.argv[1:])"
        ended = subprocess.run(
            [sys.executable, "-c", hidden, *commands(ORIGINS[1])["collect"], "--proxy", proxy.url],
            cwd=run.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    assert "pip install 'crypto-lakehouse[socks]'" in ended.stderr
    assert proxy.hosts == []
    assert list(run.folder.iterdir()) == [], "nothing is written"
