"""Names of files to write that are empty, or under which nothing can be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, KEYS, run
from tests.attack.raw_source import RawSource
from tests.workflows.lakes import tree

OPTIONS = {
    "collect": "--events", "history": "--write", "matrix refresh": "--to", "query": "--to",
    "report": "--html", "status": "--plot", "validate": "--html", "verify --quiet": "--sums",
    "verify": "--combined",
}  # fmt: skip


@pytest.mark.parametrize("command", OPTIONS)
def test_an_empty_name_is_refused(here: Path, command: str) -> None:
    tree(here / "out")
    output = [] if command == "matrix refresh" else ["-o", "out"]
    argument = ["SELECT 1"] if command == "query" else []
    ended = run(*command.split(), *argument, *output, OPTIONS[command], "")
    assert ended.code == 2
    assert "the name is empty; name a file" in ended.err


@pytest.mark.parametrize(
    "command",
    ["collect", "plan", "config show", "ingest", "validate", "verify --repair", "bench"],
)
def test_an_empty_name_of_a_configuration_is_refused(here: Path, command: str) -> None:
    (here / "out").mkdir()
    output = [] if command == "bench" else ["-o", "out"]
    ended = run(*command.split(), *output, "--config", "")
    assert ended.code == 2
    assert "--config': the name is empty; name a file" in ended.err


@pytest.mark.parametrize(
    "command",
    [
        "collect --events",
        "matrix refresh --to",
        "query SELECT --to",
        "report --html",
        "status --plot",
        "validate --html",
    ],
)
def test_standard_output_is_refused_if_only_a_file_can_be_written(here: Path, command: str) -> None:
    tree(here / "out")
    name, _, option = command.rpartition(" ")
    output = [] if name == "matrix refresh" else ["-o", "out"]
    ended = run(*name.split(), *output, option, "-")
    assert (ended.code, ended.out) == (2, "")
    assert "`-` is not standard output here; name a file" in ended.err
    assert not (here / "-").exists()


@pytest.mark.parametrize("option", ["--sums", "--combined"])
def test_a_full_disk_is_reported_with_the_file(here: Path, option: str) -> None:
    tree(here / "out")
    ended = run("verify", "-o", "out", option, "/dev/full")
    assert ended.code == 1
    assert "`/dev/full`: it cannot be written: No space left on device" in ended.err


def test_a_malformed_sidecar_is_not_called_absent(here: Path) -> None:
    archive = tree(here / "out", 1)[0]
    sidecar = here / "out" / f"{archive.key}.CHECKSUM"
    for text, reason in ((b"", "malformed: it is empty"), (None, "cannot be read: Is a directory")):
        sidecar.unlink()
        if text is None:
            sidecar.mkdir()
        else:
            sidecar.write_bytes(text)
        for command in ("validate", "ingest"):
            ended = run(command, "-o", "out", *(["--json"] if command == "validate" else []))
            assert ended.code == 4
            assert "nothing proves it: no ledger, and its sidecar" in ended.out + ended.err
            assert reason in ended.out + ended.err
    sidecar.rmdir()
    assert "no sidecar, and no ledger" in run("ingest", "-o", "out").err


@pytest.mark.parametrize("target", [".", "/", "none/x.zip", "n" * 252 + ".zip"])
def test_a_version_that_cannot_be_written_there_is_a_wrong_argument(
    source: RawSource, here: Path, target: str
) -> None:
    assert run(
        "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
        "--date", DAYS[0], "--source-url", source.url, "-q",
    ).code == 0  # fmt: skip
    force = ["--force"] if target in {".", "/"} else []
    ended = run("history", "-o", "out", KEYS[0], "--as-of", "2999-01-01", "--write", target, *force)
    assert ended.code == 2, ended
    assert "--write: `" in ended.err
    assert "cannot be written: " in ended.err
