"""What commands print of a tree that has one of everything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.cli.conftest import SELECTION, Shell
from tests.tables.sample_data import bars, put, text_of
from tests.workflows.lakes import FIRST

from crypto_lakehouse.testing import ArchiveServer

#: A noun in the plural, behind a 1 that is not a part of a greater number or of a day.
_ONE_OF_MANY = re.compile(
    r"(?<![\d.,:/-])1 (?:[a-z]+ )?"
    r"(?:archives|bars|bytes|changes|days|differences|files|findings|folders|ids|requests|rows|"
    r"sidecars|snapshots|versions|are|have|differ)\b"
)

COMMANDS = {
    "plan": ["plan", *SELECTION, "-i", "1h", "--partitions", "daily", "-o", "out"],
    "collect": ["collect", *SELECTION, "-i", "1h", "--partitions", "daily", "-o", "out"],
    "collect --ingest": ["collect", *SELECTION, "-i", "1h", "--partitions", "daily", "-o", "out",
                         "--ingest"],
    "ingest": ["ingest", "-o", "tree"],
    "ingest again": ["ingest", "-o", "tree"],
    "validate": ["validate", "-o", "tree"],
    "validate a hole": ["validate", "-o", "hole"],
    "verify": ["verify", "-o", "tree"],
    "verify --repair": ["verify", "-o", "out", "--repair"],
    "status": ["status", "-o", "out"],
    "status --by type": ["status", "-o", "out", "--by", "type"],
    "status --holes": ["status", "-o", "out", "--holes"],
    "history": ["history", "-o", "out", "--since", "2020-01-01"],
    "prune": ["history", "-o", "out", "--prune", "0"],
    "lake tables": ["lake", "tables", "-o", "tree"],
    "lake snapshots": ["lake", "snapshots", "-o", "tree", "spot.klines"],
    "lake verify": ["lake", "verify", "-o", "tree"],
    "lake compact": ["lake", "compact", "-o", "tree"],
    "lake expire": ["lake", "expire", "-o", "tree", "--older-than", "0"],
    "lake sweep": ["lake", "sweep", "-o", "tree"],
}  # fmt: skip


def test_one_thing_is_counted_in_the_singular(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    lines = text_of(bars(FIRST)).splitlines(keepends=True)
    put(tmp_path / "tree", bars(FIRST), lines[0])
    put(tmp_path / "hole", bars(FIRST), "".join(lines[:-1]))
    printed = {}
    for name, arguments in COMMANDS.items():
        more = ["--source-url", archive_server.url] if arguments[0] in {"plan", "collect"} else []
        code, out, err = shell(*arguments, *more)
        assert code in {0, 3}, (name, err)
        printed[name] = out + err
    assert {name: _ONE_OF_MANY.findall(text) for name, text in printed.items()} == {
        name: [] for name in printed
    }
    assert "1 archive, 1 row" in printed["ingest"]
    assert "1 row, 1 file" in printed["lake tables"]
    assert "1 archive planned" in printed["plan"]
    assert "1 archive checked" in printed["verify"]
    assert "1 row is missing at the end" in printed["validate a hole"]


@pytest.mark.parametrize("text", ["1 archives", "1 files deleted", "(1 changed rows", "1 are here"])
def test_a_plural_behind_one_is_found(text: str) -> None:
    assert _ONE_OF_MANY.search(text)


@pytest.mark.parametrize("text", ["11 archives", "0.1 rows", "1,001 rows", "07-1 files", "1 row"])
def test_other_numbers_are_not(text: str) -> None:
    assert not _ONE_OF_MANY.search(text)
