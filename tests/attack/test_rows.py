"""Rows of verified archives that are wrong in what they say: refused, or found, and never good.

The bytes are those that the sidecar names, so that only the rows themselves can give them away.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from tests.attack.conftest import KEYS, run
from tests.attack.raw_source import bars_of, kline_zip, sidecar_of

KEY = KEYS[1]
DAY = date(2025, 7, 11)
NAMES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)

Rows = list[str]


def bars(day: date = DAY) -> Rows:
    return list(bars_of(day))


def fields(row: str) -> list[str]:
    return row.split(",")


def with_value(column: int, value: str) -> Callable[[Rows], Rows]:
    """Another value in the fourth row."""

    def change(rows: Rows) -> Rows:
        changed = fields(rows[3])
        changed[column] = value
        return [*rows[:3], ",".join(changed), *rows[4:]]

    return change


def with_times(change: Callable[[int], object], *, since: int = 0) -> Callable[[Rows], Rows]:
    """Other times in the rows from a number on."""

    def changed(row: str) -> str:
        texts = fields(row)
        for column in (0, 6):
            texts[column] = str(change(int(texts[column])))
        return ",".join(texts)

    return lambda rows: [*rows[:since], *map(changed, rows[since:])]


#: No row of the archive gets into the table.
REFUSED: dict[str, Callable[[Rows], Rows]] = {
    "a sign": with_value(1, "+103.5"),
    "a blank before a number": with_value(1, " 103.5"),
    "seconds": with_times(lambda time: time // 10**6),
    "nanoseconds": with_times(lambda time: time * 1000),
    "two units": with_times(lambda time: time // 1000, since=12),
    "times that are fractions": with_times(lambda time: f"{time}.0"),
    "a negative time": with_value(0, "-1752202800000000"),
    "a header in the middle": lambda rows: [*rows[:5], NAMES, *rows[5:]],
    "columns in another order": lambda rows: [
        NAMES.replace("open,high,low,close,", "close,high,low,open,"), *rows
    ],
    "a column of an unknown name": lambda rows: [NAMES.replace("count", "evil"), *rows],
    "two points": with_value(1, "1.234.5"),
    "a blank in a number": with_value(1, "10 3.5"),
    "hexadecimal": with_value(1, "0x67"),
    "no number": with_value(1, "nan"),
    "infinity": with_value(1, "-inf"),
    "more than a double holds": with_value(1, "1e400"),
    "nothing": with_value(1, ""),
    "null": with_value(1, "null"),
    "quotes": with_value(1, '"103.5"'),
    "true": with_value(8, "true"),
    "a count that is a fraction": with_value(8, "7.0"),
    "a count of 2^63": with_value(8, str(2**63)),
    "a comma at the end": lambda rows: [f"{row}," for row in rows],
    "semicolons": lambda rows: [row.replace(",", ";") for row in rows],
    "tabs": lambda rows: [row.replace(",", "\t") for row in rows],
    "a comment": lambda rows: [*rows[:3], "# evil", *rows[3:]],
    "an empty line": lambda rows: [*rows[:3], "", *rows[3:]],
    "carriage returns alone": lambda rows: ["\r".join(rows)],
    "a byte order mark": lambda rows: [f"\ufeff{rows[0]}", *rows[1:]],
}  # fmt: skip

#: The archive is not called good; the check that finds it.
FOUND: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "the day before": (lambda _rows: bars(date(2025, 7, 10)), "period"),
    "the day after": (lambda _rows: bars(date(2025, 7, 12)), "period"),
    "another year": (lambda _rows: bars(date(2026, 7, 11)), "period"),
    "one row of another day": (lambda rows: [*rows[:-1], bars(date(2025, 7, 12))[0]], "period"),
    "a row twice": (lambda rows: [*rows[:5], rows[4], *rows[5:]], "duplicates"),
    "two rows of one time": (
        lambda rows: [*rows[:5], with_value(1, "9")(rows[1:6])[3], *rows[5:]], "duplicates",
    ),
    "backwards": (lambda rows: rows[::-1], "order"),
    "a gap": (lambda rows: [*rows[:5], *rows[9:]], "continuity"),
    "every other row": (lambda rows: rows[::2], "continuity"),
    "half an hour late": (with_times(lambda time: time + 1_800_000_000), "alignment"),
    "a high below the low": (with_value(2, "1"), "price_bounds"),
    "a price of zero": (with_value(4, "0"), "positive"),
    "a negative price": (with_value(3, "-1"), "positive"),
    "a negative volume": (with_value(5, "-1"), "positive"),
    "a negative count": (with_value(8, "-7"), "positive"),
    "takers that buy more than all": (with_value(9, "99"), "taker_bounds"),
    "the end of another bar": (with_value(6, "1752209999999999"), "close_time"),
}  # fmt: skip

#: Unusual, and the same rows.
SAME: dict[str, Callable[[Rows], Rows]] = {
    "as they are": lambda rows: rows,
    "milliseconds": with_times(lambda time: time // 1000),
    "a header": lambda rows: [NAMES, *rows],
    "a header of capitals": lambda rows: [NAMES.title(), *rows],
    "carriage returns": lambda rows: [f"{row}\r" for row in rows],
    "an exponent": with_value(1, "1.035e2"),
    "many zeros": with_value(1, f"103.5{'0' * 30}"),
}


def put(rows: Rows) -> None:
    body = kline_zip(KEY, rows)
    path = Path("out", KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    path.with_name(f"{path.name}.CHECKSUM").write_bytes(sidecar_of(body, KEY))


def table() -> object:
    question = "SELECT count(*) AS n, sum(open) AS open, sum(close) AS close FROM spot.klines"
    ended = run("query", "-o", "out", "--format", "json", question)
    return json.loads(ended.out)


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_are_refused(here: Path, name: str) -> None:
    put(REFUSED[name](bars()))
    for command in ("ingest", "validate"):
        ended = run(command, "-o", "out", "--json")
        assert ended.code == 4, ended
        assert "line " in ended.out
    assert table() == {"n": 0, "open": None, "close": None}


@pytest.mark.parametrize("name", FOUND)
def test_rows_that_are_not_called_good(here: Path, name: str) -> None:
    change, check = FOUND[name]
    put(change(bars()))
    report = json.loads(run("validate", "-o", "out", "--json").out)
    assert "good" not in report["verdicts"]
    (problem,) = report["problems"]
    assert check in {finding["check"] for finding in problem["findings"]}
    ingested = run("ingest", "-o", "out")
    assert "good" not in ingested.out, "and ingest says so"


@pytest.mark.parametrize("name", SAME)
def test_rows_that_are_the_same(here: Path, name: str) -> None:
    put(SAME[name](bars()))
    assert json.loads(run("validate", "-o", "out", "--json").out)["verdicts"] == {"good": 1}
    assert run("ingest", "-o", "out").code == 0
    assert table() == {"n": 24, "open": 2688.0, "close": 2688.0}
