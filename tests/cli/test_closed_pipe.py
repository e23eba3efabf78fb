"""Every command whose reader of standard output has enough, as `head` has."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
from tests.cli.conftest import SELECTION, collect
from tests.tables.sample_data import bars, put

from crypto_lakehouse.cli.main import main
from crypto_lakehouse.testing import ArchiveServer

#: Each command that prints a result, without its options for the place.
COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["status", "--by", "type"],
    ["status", "--holes"],
    ["history", "--since", "2020-01-01"],
    ["history", "--since", "2020-01-01", "--json"],
    ["history", "--prune", "30"],
    ["verify"],
    ["verify", "--json"],
    ["validate"],
    ["validate", "--json"],
    ["ingest"],
    ["ingest", "--json"],
    ["query", "FROM spot.klines"],
    ["query", "-f", "csv", "FROM spot.klines"],
    ["query", "-f", "json", "FROM spot.klines"],
    ["query", "-f", "parquet", "FROM spot.klines"],
    ["lake", "tables"],
    ["lake", "tables", "--json"],
    ["lake", "snapshots", "spot.klines"],
    ["lake", "compact"],
    ["lake", "expire"],
    ["lake", "sweep"],
    ["config", "show"],
    ["config", "show", "--json"],
    ["config", "schema"],
    ["config", "schema", "--lake"],
    ["plan", "--discovery", "calendar", *SELECTION],
    ["plan", "--discovery", "calendar", *SELECTION, "--json"],
    ["matrix"],
    ["matrix", "--check"],
]

#: Commands that have no directory.
_PLACELESS = {"matrix"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tree with a ledger and a lake."""
    root = tmp_path_factory.mktemp("tree")
    with ArchiveServer() as server:
        assert _code([*collect(server, "-q", "-o", str(root))]) == 0
    put(root, bars(date(2023, 7, 1)))
    assert _code(["ingest", "-o", str(root)]) == 0
    return str(root)


def _code(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def into_closed_pipe(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Run a command with a standard output that nothing reads; return its exit code."""
    reader, writer = os.pipe()
    os.close(reader)
    with monkeypatch.context() as patched, os.fdopen(writer, "w") as stdout:
        patched.setattr("sys.stdout", stdout)
        return _code(arguments)


def arguments_of(command: list[str], tree: str) -> list[str]:
    place = [] if command[0] in _PLACELESS or "schema" in command else ["-o", tree]
    quiet = ["-q"] if command[0] == "ingest" else []
    return [*command, *place, *quiet]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_whose_reader_has_enough_ends_with_141_and_in_silence(
    tree: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    assert into_closed_pipe(arguments_of(command, tree), monkeypatch) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.parametrize("command", COMMANDS[::4], ids=" ".join)
def test_a_result_that_cannot_be_written_is_an_error(
    tree: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    with monkeypatch.context() as patched, Path("/dev/full").open("w") as stdout:
        patched.setattr("sys.stdout", stdout)
        assert _code(arguments_of(command, tree)) in {1, 2}
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert err.count("\n") == 1


def test_a_collection_whose_report_cannot_be_printed_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArchiveServer() as server:
        arguments = collect(server, "-q", "-o", str(tmp_path))
        assert into_closed_pipe(arguments, monkeypatch) == 0
    assert capsys.readouterr().err == ""
    assert len(list(tmp_path.rglob("*.zip"))) == 13
