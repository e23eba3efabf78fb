"""Every day of a window is covered or lies in one hole, whatever was recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.coverage.series_records import cover, covered, folder, known_hole, run

from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.records import ArchiveRun, FolderRecord
from crypto_lakehouse.matrix.known_holes import KnownHoles

VERDICTS = [verdict for verdict in Verdict if verdict is not Verdict.NOT_PUBLISHED]
days_of_life = st.dates(date(2024, 1, 1), date(2024, 4, 30))


@st.composite
def records(draw: st.DrawFn) -> tuple[FolderRecord, FolderRecord]:
    def runs(texts: Sequence[str]) -> list[ArchiveRun]:
        return [run(text, draw(st.sampled_from(VERDICTS)), reason=draw(st.sampled_from("ab")))
                for text in texts]  # fmt: skip

    days = draw(st.lists(days_of_life.map(str), max_size=40, unique=True))
    months = draw(st.lists(days_of_life.map(lambda each: str(each)[:7]), max_size=4, unique=True))
    first = draw(st.none() | days_of_life.map(str))
    last = draw(st.none() | days_of_life.map(str))
    looked = draw(days_of_life.map(str))
    return folder(*runs(days), first=first or "", last=last or "", on=looked), folder(*runs(months))


windows = st.tuples(st.none() | days_of_life, st.none() | days_of_life)


@given(
    records(), windows, st.lists(st.tuples(days_of_life, days_of_life), max_size=3), days_of_life
)
def test_holes_and_covered_days_partition_the_window(
    record: tuple[FolderRecord, FolderRecord],
    window: tuple[date | None, date | None],
    gaps: list[tuple[date, date]],
    today: date,
) -> None:
    holes = KnownHoles(tuple(known_hole(str(min(gap)), str(max(gap))) for gap in gaps))
    start, end = (str(edge) if edge else "" for edge in window)
    coverage = cover(*record, start=start, end=end, holes=holes, today=today)
    assert coverage == cover(*record, start=start, end=end, holes=holes, today=today)
    if coverage is None:
        return
    if coverage.start is None or coverage.end is None:
        assert (coverage.verified_days, coverage.expected_days, coverage.holes) == (0, 0, ())
        return
    judged = [coverage.start + timedelta(days=number)
              for number in range((coverage.end - coverage.start).days + 1)]  # fmt: skip
    verified = {
        each
        for part in record
        for archives in part.runs
        for each in judged
        if archives.verdict in (Verdict.VERIFIED, Verdict.UNCHANGED)
        and archives.first_day <= each <= archives.last_day
    }
    in_holes = Counter(
        hole.first_day + timedelta(days=number)
        for hole in coverage.holes
        for number in range(hole.days)
    )
    assert set(in_holes.values()) <= {1}, "no day in two holes"
    assert set(in_holes) | verified == set(judged)
    assert not set(in_holes) & verified
    assert coverage.verified_days == len(verified)
    assert coverage.first_day == min(verified, default=None)
    assert coverage.last_day == max(verified, default=None)
    assert 0.0 <= coverage.ratio <= 1.0
    for hole, following in zip(coverage.holes, coverage.holes[1:], strict=False):
        touching = following.first_day == hole.last_day + timedelta(days=1)
        assert hole.last_day < following.first_day
        assert not (touching and hole.cause is following.cause), "neighbours are one hole"
    for hole in coverage.holes:
        assert hole.days == (hole.last_day - hole.first_day).days + 1


@given(records(), days_of_life, days_of_life)
def test_days_have_the_same_cause_in_every_window(
    record: tuple[FolderRecord, FolderRecord], one: date, other: date
) -> None:
    start, end = str(min(one, other)), str(max(one, other))
    small = covered(*record, start=start, end=end)
    large = covered(*record, start="2023-12-01", end="2024-05-31")
    causes = {
        hole.first_day + timedelta(days=number): hole.cause
        for hole in large.holes
        for number in range(hole.days)
    }
    for hole in small.holes:
        for number in range(hole.days):
            assert causes[hole.first_day + timedelta(days=number)] is hole.cause
