"""Rows are compared by key, with all rows of a repeated key at once."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.tables.ingest import row_spool
from crypto_lakehouse.tables.ingest.comparison import DifferentValue, RowComparer
from crypto_lakehouse.tables.ingest.row_spool import RowSpool, merged

BY_KEY = RowComparer(("id", "price", "at"), ("id",))
WHOLE = RowComparer(("id", "price", "at"), None)
SCHEMA: dict[str, Any] = {
    "id": pl.Int64,
    "price": pl.Decimal(38, 18),
    "at": pl.Datetime("us", "UTC"),
}
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)

Row = tuple[int, Decimal | None, datetime]

rows_of_few_values = st.lists(
    st.tuples(
        st.integers(0, 3), st.none() | st.sampled_from([Decimal("0.5"), Decimal("1e-18")]),
        st.just(MOMENT),
    ),
    max_size=6,
)  # fmt: skip


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, SCHEMA, orient="row")


@given(rows=rows_of_few_values, others=rows_of_few_values)
def test_what_stands_is_told_from_what_agrees(rows: list[Row], others: list[Row]) -> None:
    found = BY_KEY.compare(frame(rows), frame(others))
    mine: dict[int, Counter[Row]] = defaultdict(Counter)
    theirs: dict[int, Counter[Row]] = defaultdict(Counter)
    for row in rows:
        mine[row[0]][row] += 1
    for row in others:
        theirs[row[0]][row] += 1
    assert found.missing.rows() == [row for row in rows if not theirs[row[0]]]
    different = {key for key in mine if theirs[key] and mine[key] != theirs[key]}
    assert found.differing.rows() == [row for row in rows if row[0] in different]
    assert sorted(key for (key,) in found.different_keys.rows()) == sorted(different)
    kept = BY_KEY.without_keys(frame(others), found.different_keys)
    assert kept.rows() == [row for row in others if row[0] not in different]
    absent = BY_KEY.absent(frame(rows), frame(others))
    assert absent.rows() == found.missing.rows()


@given(rows=rows_of_few_values, others=rows_of_few_values)
def test_whole_rows_are_compared_if_no_key_is_unique(rows: list[Row], others: list[Row]) -> None:
    found = WHOLE.compare(frame(rows), frame(others))
    assert Counter(found.missing.rows()) == Counter(rows) - Counter(others)
    assert found.differing.is_empty()
    assert Counter(WHOLE.absent(frame(rows), frame(others)).rows()) == (
        Counter(rows) - Counter(others)
    )
    assert [*WHOLE.different_values(frame(rows), frame(others))] == []


def test_values_that_differ_are_listed_as_text() -> None:
    later = datetime(2024, 1, 2, tzinfo=UTC)
    rows = frame([(1, Decimal("0.5"), MOMENT), (2, None, MOMENT)])
    others = frame([(1, Decimal("0.5"), later), (2, Decimal("0.25"), MOMENT)])
    found = BY_KEY.compare(rows, others)
    assert [*BY_KEY.different_values(found.differing, others)] == [
        DifferentValue('{"id": 1}', "at", MOMENT.isoformat(), later.isoformat()),
        DifferentValue('{"id": 2}', "price", None, "0.250000000000000000"),
    ]


def test_flags_are_listed_as_in_an_archive() -> None:
    flags = RowComparer(("id", "maker"), ("id",))
    rows, others = (pl.DataFrame({"id": [1], "maker": [value]}) for value in (True, False))
    (found,) = flags.different_values(rows, others)
    assert (found.value, found.other_value) == ("true", "false")


@pytest.mark.parametrize("held_bytes", [0, 100, 1 << 20])
def test_rows_are_found_by_range_in_memory_and_in_a_file(
    held_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_spool, "_HELD_BYTES", held_bytes)
    spool = RowSpool(tmp_path, "id")
    assert spool.between(0, 9) is None
    frames = [frame([(number, None, MOMENT), (number + 1, None, MOMENT)]) for number in (0, 2, 4)]
    for each in (frames[0].clear(), *frames):
        spool.add(each)
    assert [each.rows() for each in spool.frames()] == [each.rows() for each in frames]
    found = spool.between(1, 2)
    assert found is not None
    assert [row[0] for row in found.rows()] == [1, 2]
    none = spool.between(8, 9)
    assert none is not None
    assert none.rows() == []
    assert spool.rows == 6
    assert not list(tmp_path.iterdir()), "the file has no name, so a killed run leaves none"
    spool.close()


@given(
    streams=st.lists(
        st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), max_size=4), max_size=4
    ),
    is_sorted=st.booleans(),
)
def test_streams_are_merged(streams: list[list[list[int]]], *, is_sorted: bool) -> None:
    if is_sorted:
        streams = [[sorted(part) for part in sorted(stream)] for stream in streams]
    given_rows = [number for stream in streams for part in stream for number in part]

    def frames(stream: list[list[int]]) -> Iterator[pl.DataFrame]:
        return (pl.DataFrame({"id": part}) for part in stream)

    found = [frame["id"].to_list() for frame in merged(map(frames, streams), ["id"])]
    flat = [number for part in found for number in part]
    assert sorted(flat) == sorted(given_rows)
    assert all(found)
    ascending = all(
        left[-1] <= right[0] for stream in streams for left, right in itertools.pairwise(stream)
    )
    if is_sorted and ascending:
        assert flat == sorted(given_rows)
