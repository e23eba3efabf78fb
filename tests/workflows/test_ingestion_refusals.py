"""Ingesting a tree with archives that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.tables.sample_data import bars, month_of, put, text_of
from tests.workflows.lakes import FIRST, ROWS, ingested, row_count, tree

from crypto_lakehouse.core.archive import Period
from crypto_lakehouse.tables.files.series_writer import SeriesWriter


async def test_a_refused_months_days_come_in_its_place(tmp_path: Path) -> None:
    archives = tree(tmp_path)
    month = month_of(archives[0])
    put(tmp_path, month, text_of(month)[:-4])
    report = await ingested(tmp_path)
    assert [each["key"] for each in report.problems] == [month.key]
    assert report.to_mapping()["totals"] == {
        "archives": 3, "rows": 72, "replaced": 0, "unchanged": 0, "covered": 0, "refused": 1,
        **ROWS,
    }  # fmt: skip
    put(tmp_path, month)
    report = await ingested(tmp_path)
    assert report.to_mapping()["totals"] == {
        "archives": 1, "rows": 744, "replaced": 3, "unchanged": 3, "covered": 0, "refused": 0,
        **ROWS, "rows_added": 672,
    }  # fmt: skip
    assert row_count(tmp_path) == 744


async def test_what_was_refused_is_told_by_each_run_and_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = tree(tmp_path)
    broken = bars(FIRST, "BADUSDT")
    put(tmp_path, broken, "no,numbers\n")
    lines = text_of(archives[1])
    put(tmp_path, archives[1], lines + lines.splitlines()[-1] + "\n")
    quarantining = {"policies": {"duplicates": "quarantine"}}
    first = await ingested(tmp_path, **quarantining)
    assert {each["state"] for each in first.problems} == {"refused", "quarantined"}

    def read_nothing(*_: Any, **__: Any) -> None:
        pytest.fail("an archive was read")

    with monkeypatch.context() as patched:
        patched.setattr(SeriesWriter, "run", read_nothing)
        second = await ingested(tmp_path, **quarantining)
    assert (second.status, second.exit_code) == ("partial", 4)
    assert (second.problems, second.problem_count) == (first.problems, 2)
    totals = second.to_mapping()["totals"]
    assert (totals["archives"], totals["unchanged"], totals["refused"]) == (0, 2, 2)
    others = await ingested(tmp_path, symbols=("BADUSDT",))
    assert [each["key"] for each in others.problems] == [broken.key]

    again = await ingested(tmp_path, again=True)  # no policy quarantines it now
    assert [each["key"] for each in again.problems] == [broken.key]
    put(tmp_path, broken)
    report = await ingested(tmp_path)
    assert (report.status, report.exit_code, report.archives) == ("complete", 0, 1)


async def test_a_month_refused_under_both_its_names_covers_nothing(tmp_path: Path) -> None:
    archives = tree(tmp_path)
    names = [evolve(archives[0], period=Period.parse(text)) for text in ("2023-07", "2023-7")]
    for month in names:
        put(tmp_path, month, text_of(month)[:-4])
    report = await ingested(tmp_path)
    assert [each["key"] for each in report.problems] == [month.key for month in names]
    assert report.to_mapping()["totals"] == {
        "archives": 3, "rows": 72, "replaced": 0, "unchanged": 0, "covered": 0, "refused": 2,
        **ROWS,
    }  # fmt: skip
