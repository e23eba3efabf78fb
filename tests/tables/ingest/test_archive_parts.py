"""Archives are merged alike, however their text is cut into parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.tables.ingest.lake_contents import ParquetFiles
from tests.tables.sample_data import bars, month_of, put, text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.ingest import archive_parts
from crypto_lakehouse.tables.reading.batch import Batch
from crypto_lakehouse.tables.reading.reader import Refused, read_batches

DAY = date(2023, 8, 3)


def cut(*arguments: Any, **named: Any) -> Iterator[Batch | Refused]:
    """Batches of one row each."""
    for batch in read_batches(*arguments, **named):
        if isinstance(batch, Refused):
            yield batch
            continue
        begin = 0
        for piece in batch.pieces:
            for number in range(piece.rows):
                first, last = number == 0, number == piece.rows - 1
                one = evolve(
                    piece,
                    rows=1,
                    begins=piece.begins and first,
                    ends=piece.ends and last,
                    first_line=piece.first_line + number,
                )
                yield Batch(batch.schema, (one,), batch.frame.slice(begin + number, 1))
            begin += piece.rows


def doubled(archive: Archive, copies: int = 1) -> str:
    """The text of an archive with its tenth line repeated, with other volumes."""
    lines = text_of(archive).splitlines(keepends=True)
    values = lines[9].split(",")
    more = [",".join([*values[:5], str(number), *values[6:]]) for number in range(copies)]
    return "".join([*lines[:10], *more, *lines[10:]])


def month_with(day: str) -> str:
    lines = text_of(month_of(bars(DAY))).splitlines(keepends=True)
    return "".join([*lines[:48], day, *lines[72:]])


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize(
    ("day", "month", "differing"),
    [
        (doubled(bars(DAY)), month_with(doubled(bars(DAY))), 0),
        (doubled(bars(DAY)), month_with(text_of(bars(DAY))), 1),
        (text_of(bars(DAY)), month_with(doubled(bars(DAY))), 1),
        (doubled(bars(DAY), 2), month_with(doubled(bars(DAY), 3)), 1),
    ],
    ids=["the same", "the day's", "the month's", "three and four"],
)
def test_a_key_that_is_repeated_is_compared_as_a_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    day: str,
    month: str,
    differing: int,
    *,
    is_cut: bool,
) -> None:
    if is_cut:
        monkeypatch.setattr(archive_parts, "read_batches", cut)
    files = ParquetFiles(tmp_path / "files")
    sources = [put(tmp_path, bars(DAY), day), put(tmp_path, month_of(bars(DAY)), month)]
    told = files.ingest(sources)
    assert sum(each.differing for each in told) == differing
    of_day = files.frame().filter(files.frame()["open_time"].dt.date() == DAY)
    assert of_day.height == day.count("\n")
    assert (bars(DAY).key in set(of_day["archive"])) == bool(differing)


@pytest.mark.parametrize("is_cut", [False, True])
def test_an_archive_that_is_refused_at_its_end_leaves_no_row_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_cut: bool
) -> None:
    if is_cut:
        monkeypatch.setattr(archive_parts, "read_batches", cut)
    files = ParquetFiles(tmp_path / "files")
    bad = put(tmp_path, bars(DAY), text_of(bars(DAY))[:-4])
    told = files.ingest(
        [bad, put(tmp_path, bars(date(2023, 8, 4))), put(tmp_path, month_of(bars(DAY)))]
    )
    assert sorted(each.state for each in told) == ["ingested", "refused", "superseded"]
    assert files.frame().height == 31 * 24
