"""With `--json` a command that fails as a whole prints one object that says so."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import click
import pytest
from tests.cli.conftest import Shell
from tests.tables.sample_data import bars, put

from crypto_lakehouse.cli.main import cli
from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.matrix import load
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.status import CoverageStatus

PLANNED = ("-s", "BTCUSDT", "-t", "klines", "-i", "1h", "--markets", "spot", "--date", "2025-07-15")

#: A failure as a whole of each command that has the option `--json`.
FAILING = {
    "bench": ["bench", "--config", "none.yaml"],
    "collect": ["collect", "-o", "out", *PLANNED, "--max-retries", "99"],
    "collect dry": ["collect", "-o", "out", *PLANNED, "--dry-run", "--max-retries", "99"],
    "config show": ["config", "show", "--config", "none.yaml"],
    "demo": ["demo", "-o", "file"],
    "export": ["export", "-o", "none", "--for", "csv", "--to", "files"],
    "fill": ["fill", "-o", "none"],
    "history": ["history", "-o", "none", "--since", "1d"],
    "ingest": ["ingest", "-o", "none"],
    "lake compact": ["lake", "compact", "-o", "none"],
    "lake expire": ["lake", "expire", "-o", "none"],
    "lake relocate": ["lake", "relocate", "-o", "none"],
    "lake snapshots": ["lake", "snapshots", "spot.klines", "-o", "none"],
    "lake sweep": ["lake", "sweep", "-o", "none"],
    "lake tables": ["lake", "tables", "-o", "none"],
    "lake verify": ["lake", "verify", "-o", "none"],
    "matrix diff": ["matrix", "diff", "none.json", "none.json"],
    "matrix refresh": ["matrix", "refresh", "--to", "none/m.json"],
    "plan": ["plan", "-o", "out", *PLANNED, "--max-retries", "99"],
    "record": ["record", "-o", "out"],
    "run": ["run", "none.yaml"],
    "status": ["status", "-o", "none"],
    "validate": ["validate", "-o", "none"],
    "verify": ["verify", "-o", "none"],
}


def failure(out: str) -> dict[str, object]:
    """The only object that is printed."""
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def commands_with_json(group: click.Group, before: str = "") -> set[str]:
    context, names = click.Context(group), set()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            names |= commands_with_json(command, f"{before}{name} ")
        elif command and any("--json" in each.opts for each in command.params):
            names.add(before + name)
    return names


def test_every_command_with_the_option_is_tried() -> None:
    assert isinstance(cli, click.Group)
    assert commands_with_json(cli) == {*FAILING} - {"collect dry"}


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_is_one_object_with_the_exit_code(shell: Shell, name: str) -> None:
    Path("file").touch()
    code, out, err = shell(*FAILING[name], "--json")
    found = failure(out)
    assert (code, found["exit_code"]) == (2, 2)
    assert f"error: {found['error']}\n" in err
    text_code, text_out, text_err = shell(*FAILING[name])
    assert (text_code, text_err) == (code, err) or name == "demo"
    assert "{" not in text_out


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--format", "json", "-o", "none"],
        ["plan", "--format=json", *PLANNED, "--max-retries", "99"],
        ["status", "--json", "--unknown"],
        ["verify", "--json", "-o", "out", "--combined", "-"],
    ],
)
def test_wrong_options_are_such_an_object_too(shell: Shell, arguments: list[str]) -> None:
    code, out, err = shell(*arguments)
    found = failure(out)
    assert (code, found["exit_code"]) == (2, 2)
    assert str(found["error"]) in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "-o", "none"],
        ["status", "-o", "none", "--format", "keys"],
        ["query", "-o", "none", "-f", "json", "FROM spot.klines"],
        ["query", "-o", "none", "--", "--json"],
    ],
)
def test_nothing_is_printed_unless_it_is_asked_for(shell: Shell, arguments: list[str]) -> None:
    assert shell(*arguments)[:2] == (2, "")


def test_a_collection_that_cannot_begin_has_its_report_as_well(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    Path("out/.lakehouse").mkdir(parents=True)
    Path("out/.lakehouse/ledger.sqlite").mkdir()
    source = ("--source-url", archive_server.url, "--discovery", "calendar")
    code, out, err = shell("collect", "-o", "out", *PLANNED, *source, "--json")
    found = failure(out)
    assert (code, found["exit_code"], found["status"]) == (2, 2, "failed")
    assert f"error: {found['error']}\n" in err
    code, out, _ = shell("collect", "-o", "out", *PLANNED, *source, "--json", "--ingest")
    found = failure(out)
    assert (code, found["exit_code"]) == (2, 2)
    assert "the ledger cannot be opened" in str(found["error"])


def test_an_ingestion_that_fails_has_its_report_as_well(shell: Shell, tmp_path: Path) -> None:
    put(tmp_path / "out", bars(date(2023, 7, 1)))
    Path("lake").mkdir()
    Path("lake/lock").symlink_to("elsewhere")
    code, out, err = shell("ingest", "-o", "out", "--lake", "lake", "--json")
    found = failure(out)
    assert (code, found["exit_code"], found["status"]) == (2, 2, "failed")
    assert f"error: {found['error']}\n" in err


@pytest.mark.parametrize("command", ["compact", "expire", "sweep"])
def test_maintenance_that_fails_in_the_middle_has_what_was_done(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    put(tmp_path / "out", bars(date(2023, 7, 1)))
    shell("ingest", "-o", "out", "-q")
    for each in Path("out/.lakehouse/lake/warehouse/spot/klines/metadata").glob("snap-*.avro"):
        each.unlink()
    code, out, err = shell("lake", command, "-o", "out", "--json")
    found = failure(out)
    assert (code, found["exit_code"]) == (1, 1)
    assert f"error: {found['error']}\n" in err
    done = found["tables"]
    assert isinstance(done, dict)
    assert [*done] == ["lakehouse.archives"]


def test_a_status_that_fails_in_the_middle_is_still_one_object(
    shell: Shell, archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ("--source-url", archive_server.url, "--discovery", "calendar")
    shell("collect", "-o", "out", *PLANNED, *source, "-q")
    whole = CoverageStatus.__iter__

    def cut(status: CoverageStatus) -> Iterator[SeriesCoverage]:
        yield from whole(status)
        raise LedgerError("ledger.sqlite", "the disk fails")

    monkeypatch.setattr(CoverageStatus, "__iter__", cut)
    code, out, err = shell("status", "-o", "out", "--json")
    found = failure(out)
    assert (code, found["exit_code"]) == (1, 1)
    assert found["error"] == "`ledger.sqlite`: the disk fails"
    assert isinstance(found["series"], list)
    assert err.endswith(f"error: {found['error']}\n")


@pytest.mark.parametrize(
    ("raised", "exit_code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(143), 143, "interrupted"),
        (RuntimeError("a fault"), 1, "this is a fault in crypto-lakehouse; please report it"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device; free some"),
        (PermissionError(errno.EACCES, "Permission denied"), 2, "Permission denied; let this user"),
    ],
    ids=["Ctrl-C", "SIGTERM", "fault", "full disk", "no permission"],
)
def test_what_ends_a_command_from_outside_is_said_as_well(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    exit_code: int,
    message: str,
) -> None:
    monkeypatch.setattr(load, "load_matrix", Mock(side_effect=raised))
    code, out, _ = shell("matrix", "diff", "a.json", "b.json", "--json")
    found = failure(out)
    assert (code, found["exit_code"]) == (exit_code, exit_code)
    assert str(found["error"]).startswith(message)
