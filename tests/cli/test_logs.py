"""What is logged, in which form, from which level on."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest
from tests.cli.conftest import KEY, Shell, collect

from crypto_lakehouse.cli.logs import configure_logging
from crypto_lakehouse.cli.main import _own_log_handlers
from crypto_lakehouse.testing import ArchiveServer, faults


def test_logs_are_structured_and_carry_the_context(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    archive_server.inject(KEY, faults.Status(503, retry_after="0"))
    code, _, err = shell(*collect(archive_server, "-q", "--log-format", "json"))
    assert code == 0
    records = [json.loads(line) for line in err.splitlines()]
    assert len({record["run_id"] for record in records}) == 1
    retried = [record for record in records if record["event_name"] == "ArchiveRetried"]
    assert retried[0]["key"] == KEY
    assert retried[0]["level"] == "info"
    assert "503" in retried[0]["reason"]


def test_logs_can_be_text(shell: Shell, archive_server: ArchiveServer) -> None:
    code, _, err = shell(*collect(archive_server, "-q", "--log-format", "text"))
    assert code == 0
    assert "13 archives planned" in err


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        (["--log-level", "debug"], {"debug", "info", "warning"}),
        (["--log-level", "info"], {"info", "warning"}),
        (["--log-level", "warning"], {"warning"}),
        (["--log-level", "error"], set()),
        (["--log-level", "error", "--log-format", "text"], set()),
        (["--log-level", "debug", "--log-format", "none"], set()),
        (["--log-level", "warning", "--environment", "production"], {"warning"}),
        ([], set()),
    ],
)
def test_logs_below_a_level_are_left_out(
    shell: Shell, archive_server: ArchiveServer, options: list[str], levels: set[str]
) -> None:
    archive_server.remove(KEY)
    _, _, err = shell(*collect(archive_server, "-q", "--allow-http", *options))
    if "production" in options:
        found = {json.loads(line)["level"] for line in err.splitlines()}
    else:
        found = set(re.findall(r" \[(debug|info|warning|error) *\] ", err))
    assert found == levels


EVERY_LEVEL = {"debug", "info", "warning"}
JSON = ["--log-format", "json"]


@pytest.mark.parametrize("how", [JSON, [*JSON, "--quiet"], ["--environment", "production"]])
@pytest.mark.parametrize(
    ("options", "levels", "words"),
    [
        ([], EVERY_LEVEL, "missing data/spot/daily/klines/BTCUSDT/1h/"),
        (["--ingest"], EVERY_LEVEL, "missing data/spot/daily/klines/BTCUSDT/1h/"),
        (["--dry-run", "--max-bytes", "1"], set(), ""),
        (["--max-retries", "99"], {"error"}, "must be at most 20, not 99"),
        (["--config", "bad.yaml"], {"error"}, "did you mean `max_retries`?"),
        (["--config", "none.yaml"], {"error"}, "cannot be read"),
    ],
)
def test_with_json_every_line_on_standard_error_is_json(
    shell: Shell,
    archive_server: ArchiveServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    how: list[str],
    options: list[str],
    levels: set[str],
    words: str,
) -> None:
    archive_server.remove(KEY)
    (tmp_path / "bad.yaml").write_text("max_retrys: 1\n")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_OUTPUT_DIRECTORY", "out")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_COLOUR", "red")
    monkeypatch.setattr("crypto_lakehouse.sinks.lines.LINE_EVERY_S", 0.0)
    whole = collect(archive_server, *how, *options)
    asked = [each for each in whole if each not in ("-o", "out")]
    before = sys.stderr
    _, _, err = shell(*asked)
    assert sys.stderr is before
    if "error" in levels and how[0] == "--environment":
        return  # whether this is production is not known yet
    records = [json.loads(line) for line in err.splitlines()]
    assert levels <= {each["level"] for each in records}
    events = [each["event"] for each in records]
    assert any(words in event for event in events)
    if "error" not in levels:
        warning = "the variable `CRYPTO_LAKEHOUSE_COLOUR` names no configuration key"
        assert sum(warning in event for event in events) == 1
        note = "the output directory is"
        assert sum(note in event for event in events) == 1
        assert any("of 13 archives" in event for event in events) == (
            "--quiet" not in how and "--dry-run" not in options
        )


def test_what_is_written_beside_the_log_has_a_level(capsys: pytest.CaptureFixture[str]) -> None:
    with _own_log_handlers():
        configure_logging("json", "info")
        click.echo("note: begins", err=True)
        sys.stderr.write("warning: half ")
        sys.stderr.write("of it\n")
        click.echo("Traceback (most recent call last):\n  File", err=True)
        click.echo("", err=True)
        sys.stderr.write("error: cut")
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(each["level"], each["event"]) for each in records] == [
        ("info", "begins"),
        ("warning", "half of it"),
        ("error", "Traceback (most recent call last):\n  File"),
        ("error", "cut"),
    ]


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        with _own_log_handlers():
            configure_logging("json")
            click.echo("note: begins", err=True)
        assert sys.stderr is full
        with suppress(OSError):
            full.close()
