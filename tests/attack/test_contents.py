"""Verified archives with hostile contents: each is refused alone, and the others are ingested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.attack.conftest import DAYS, KEYS, Ended, run
from tests.attack.raw_source import kline_zip, sidecar_of

from crypto_lakehouse.tables.quality.inspector import Inspector

VICTIM = KEYS[1]
DIGITS = "9" * 5_000
FIRST = 1_752_192_000_000_000  # 2025-07-11

#: Rows in place of a day's bars.
ROWS: dict[str, list[str]] = {
    "no rows": [],
    "one field": ["evil"],
    "thousands of digits": [f"{FIRST},{DIGITS},1,1,1,1,{FIRST + 1},1,1,1,1,0"],
    "a time of thousands of digits": [f"{DIGITS},1,1,1,1,1,{DIGITS},1,1,1,1,0"],
    "an exponent": [f"{FIRST},1e99999,1,1,1,1,{FIRST + 1},1,1,1,1,0"],
    "infinity": [f"{FIRST},inf,1,1,1,1,{FIRST + 1},1,1,1,1,0"],
    "no number": [f"{FIRST},NaN,1,1,1,1,{FIRST + 1},1,1,1,1,0"],
    "an underscore": [f"{FIRST},5_0,1,1,1,1,{FIRST + 1},1,1,1,1,0"],
    "digits of another script": [f"{FIRST},١,1,1,1,1,{FIRST + 1},1,1,1,1,0"],
    "escapes": [f"{FIRST},\x1b]0;evil\x07,1,1,1,1,{FIRST + 1},1,1,1,1,0"],
    "a NUL": [f"{FIRST},\0,1,1,1,1,{FIRST + 1},1,1,1,1,0"],
    "a quote without an end": [f'{FIRST},"1,1,1,1,1,{FIRST + 1},1,1,1,1,0'],
    "a header of escapes": ["open_time,\x1b]0;evil\x07", f"{FIRST},1"],
    "a thousand fields": ["1," * 1_000],
    "a formula": [f'{FIRST},=cmd|"/c calc"!A1,1,1,1,1,{FIRST + 1},1,1,1,1,0'],
}

COMMANDS = {
    "ingest": "ingest -o out --json",
    "ingest exactly": "ingest -o out --json --exact",
    "ingest into files": "ingest -o out --json --format parquet --lake files",
    "validate": "validate -o out --json",
}


def put(here: Path, victim: bytes) -> None:
    for key in KEYS:
        data = victim if key == VICTIM else kline_zip(key)
        path = here / "out" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_name(f"{path.name}.CHECKSUM").write_bytes(sidecar_of(data, key))


def check(ended: Ended) -> Any:
    assert ended.code in {0, 3, 4}, ended
    for sign in ("\x1b", "\x07", "\x9b"):
        assert sign not in ended.out + ended.err
    return json.loads(ended.out)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ROWS)
def test_rows_of_one_archive(here: Path, name: str, command: str) -> None:
    put(here, kline_zip(VICTIM, ROWS[name]))
    report = check(run(*COMMANDS[command].split()))
    assert {item["key"] for item in report["problems"]} == {VICTIM}
    check(run(*COMMANDS[command].split()))
    if command == "ingest":
        query = "SELECT count(*) AS n, count(DISTINCT open_time::date) AS days FROM spot.klines"
        row = json.loads(run("query", "-o", "out", "--format", "json", query).out)
        assert row == {"n": 48, "days": len(DAYS) - 1}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_zip_that_cannot_be_opened_is_held_back_alone(
    here: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(here, kline_zip(VICTIM))
    opened = Path.open

    def refusing(path: Path, *rest: Any, **options: Any) -> Any:
        if path.name == VICTIM.rpartition("/")[2]:
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refusing)
        report = check(run(*COMMANDS[command].split()))
    assert "Permission denied" in json.dumps(report)
    assert "Permission denied" not in json.dumps(check(run(*COMMANDS[command].split())))


@pytest.mark.parametrize("command", COMMANDS)
def test_an_archive_that_raises_is_held_back_alone_and_tried_again(
    here: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(here, kline_zip(VICTIM))
    checked = Inspector.check

    def raising(it: Inspector, batch: Any) -> Any:
        if any(piece.source.archive.key == VICTIM for piece in batch.pieces):
            raise IndexError("of an unknown cause")
        return checked(it, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Inspector, "check", raising)
        text = json.dumps(check(run(*COMMANDS[command].split())))
    assert "unforeseen IndexError: of an unknown cause" in text
    text = json.dumps(check(run(*COMMANDS[command].split())))
    assert "unforeseen" not in text
    if command == "ingest":
        query = "SELECT count(*) AS n FROM spot.klines"
        assert json.loads(run("query", "-o", "out", "--format", "json", query).out) == {"n": 72}
        assert "0 files deleted" in run("lake", "sweep", "-o", "out").out
