"""Each command that makes requests says on standard error which proxy they go through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, SELECTION, Shell
from tests.workflows.conftest import make_zip, member_of, sidecar_of

from crypto_lakehouse.testing import ArchiveServer

PROXY = "http://me:hunter2@proxy.example:3128"
SELECTED = [*SELECTION, "-i", "1h"]
COLLECT = ["collect", "-o", "out", *SELECTED]
NOTE = "https://cdn.example via http://***@proxy.example:3128 ({})"


@pytest.fixture(autouse=True)
def _another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is not this machine is named, and never asked."""
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_REDIRECT_HOSTS", "cdn.example")


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """A source that has one archive."""
    data = make_zip(member_of(KEY), b"1,2,3\n")
    with ArchiveServer(generate=False) as small:
        small.put(KEY, data)
        small.put(f"{KEY}.CHECKSUM", sidecar_of(data, KEY.rpartition("/")[2]))
        yield small


def commands(url: str, *more: str) -> dict[str, list[str]]:
    """Each command with all that it needs."""
    listed = ["--source-url", url, "--listing-url", url, *more]
    return {
        "collect": [*COLLECT, "--source-url", url, *more],
        "collect --ingest": [*COLLECT, "--source-url", url, "--ingest", *more],
        "plan": ["plan", *SELECTED, *listed],
        "bench": ["bench", *SELECTED, *listed, "--settings", "1", "--seconds", "0.1"],
        "matrix refresh": ["matrix", "refresh", *listed, "--to", "m.json"],
        "verify": ["verify", "-o", "out", "--repair", "--source-url", url, *more],
    }


def damage(shell: Shell, server: ArchiveServer, folder: Path) -> None:
    """Collect an archive, and spoil it."""
    assert shell(*COLLECT, "--source-url", server.url)[0] == 0
    (folder / "out" / KEY).write_bytes(b"no zip")


@pytest.mark.parametrize("command", commands(""))
@pytest.mark.parametrize("source", ["option", "environment", "none"])
def test_the_proxy_is_said_with_what_names_it(
    shell: Shell, server: ArchiveServer, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, command: str, source: str,
) -> None:  # fmt: skip
    damage(shell, server, tmp_path)
    named_by = {"option": "`proxy`", "environment": "HTTPS_PROXY", "none": ""}[source]
    options = {"option": ["--proxy", PROXY], "environment": [], "none": ["--proxy", "none"]}[source]
    if source != "option":
        monkeypatch.setenv("HTTPS_PROXY", PROXY)
    _, out, err = shell(*commands(server.url, *options)[command])
    notes = [line for line in err.splitlines() if "proxy" in line]
    assert len(notes) == (source != "none"), err
    if notes:
        assert notes[0].startswith("note: proxy: ")
        assert NOTE.format(named_by) in notes[0]
    assert "hunter2" not in out + err
    assert "proxy.example" not in out


def test_a_quiet_run_says_nothing(shell: Shell, server: ArchiveServer) -> None:
    code, out, err = shell(
        *COLLECT, "--source-url", server.url, "--proxy", PROXY, "--quiet", "--json"
    )
    assert (code, err) == (0, "")
    assert "proxy" not in out
    assert json.loads(out)["totals"]["verified"] == 1


def test_a_plan_that_asks_nothing_has_no_proxy(shell: Shell) -> None:
    code, _, err = shell("plan", *SELECTION, "--discovery", "calendar", "--proxy", PROXY)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("command", commands(""))
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--proxy", "me:hunter2@proxy.example:1"], "--proxy: `***@proxy.example:1` has no scheme"),
        (["--proxy", "http://me:hunter2/@h"], "--proxy: `http://***@h` must have its user name"),
        (["--ca-bundle", "nowhere.pem"], "--ca-bundle: `nowhere.pem` cannot be read"),
    ],
)
def test_what_cannot_be_used_ends_each_command(
    shell: Shell, server: ArchiveServer, tmp_path: Path,
    command: str, options: list[str], why: str,
) -> None:  # fmt: skip
    damage(shell, server, tmp_path)
    asked = len(server.requests)
    code, out, err = shell(*commands(server.url, *options)[command])
    assert code == 2
    assert why in err
    assert "hunter2" not in out + err
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    "command", ["collect", "plan", "bench", "verify", "matrix refresh"], ids=str
)
def test_each_command_has_the_options(shell: Shell, command: str) -> None:
    code, out, _ = shell(*command.split(), "--help")
    assert code == 0
    assert "--proxy URL" in out
    assert "--ca-bundle FILE" in out
