"""Which verdicts are marked as acknowledged, and what is remarked at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from crypto_lakehouse.collection.acknowledging import Acknowledging
from crypto_lakehouse.core.acknowledged import ACKNOWLEDGEABLE, Acknowledged
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchivesUnchanged,
    Event,
    RunNoted,
    RunWarned,
)
from crypto_lakehouse.core.verdicts import Verdict

FOLDER = "data/spot/daily/trades/BTCUSDT/"


def archive_of(day: int) -> Archive:
    return Archive.parse(f"{FOLDER}BTCUSDT-trades-2024-03-{day:02}.zip")


def finished(day: int, verdict: Verdict, *, stands: bool = False) -> ArchiveFinished:
    return ArchiveFinished(archive=archive_of(day), verdict=verdict, stands=stands)


async def marked(acknowledging: Acknowledging, *events: Event) -> list[Event]:
    passed: list[Event] = []

    async def emit(events: Sequence[Event]) -> None:
        passed.extend(events)

    await acknowledging.marking(emit)(events)
    return passed


def of(*entries: str) -> Acknowledging:
    return Acknowledging(Acknowledged.of(entries))


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("entry", [archive_of(5).key, f"{FOLDER}*-0[5].zip"])
async def test_only_what_the_source_lacks_or_spoils_is_marked(verdict: Verdict, entry: str) -> None:
    events = [finished(5, verdict), finished(6, verdict), finished(5, verdict, stands=True)]
    found = await marked(of(entry), *events)
    marks = [event.acknowledged for event in found if isinstance(event, ArchiveFinished)]
    assert marks == [verdict in ACKNOWLEDGEABLE, False, False]


async def test_without_acknowledgements_events_pass_as_they_are() -> None:
    async def emit(_events: Sequence[Event]) -> None: ...

    assert of().marking(emit) is emit
    assert of().remarks(lambda _: True) == []


def unchanged(*days: int) -> ArchivesUnchanged:
    def each() -> Iterator[ArchiveFinished]:
        return (finished(day, Verdict.UNCHANGED) for day in days)

    return ArchivesUnchanged(FOLDER, len(days), each)


async def test_a_named_archive_that_is_good_is_remarked_on_in_every_run() -> None:
    for event in (finished(5, Verdict.VERIFIED), unchanged(4, 5, 6)):
        acknowledging = of(archive_of(5).key, archive_of(7).key)
        assert await marked(acknowledging, event) == [event]
        (remark,) = acknowledging.remarks(None)
        assert isinstance(remark, RunWarned)
        assert remark.message.startswith(f"acknowledged, and verified now: {archive_of(5).key};")


async def test_an_archive_that_a_glob_matches_is_remarked_on_when_it_arrives() -> None:
    acknowledging = of(f"{FOLDER}*.zip")
    await marked(acknowledging, unchanged(1, 2), finished(3, Verdict.UNCHANGED))
    assert acknowledging.remarks(None) == []
    await marked(acknowledging, finished(5, Verdict.VERIFIED))
    (remark,) = acknowledging.remarks(None)
    assert archive_of(5).key in str(remark)


async def test_many_archives_are_named_in_part() -> None:
    acknowledging = of(f"{FOLDER}*.zip")
    await marked(acknowledging, *(finished(day, Verdict.VERIFIED) for day in range(1, 13)))
    (remark,) = acknowledging.remarks(None)
    assert archive_of(10).key in str(remark)
    assert archive_of(11).key not in str(remark)
    assert " and 2 more;" in str(remark)


async def test_what_was_not_planned_is_noted_if_it_was_selected() -> None:
    acknowledging = of(*(archive_of(day).key for day in (4, 5, 6, 7)), f"{FOLDER}*-08.zip")
    await marked(acknowledging, finished(4, Verdict.MISSING), RunNoted(message="x"))
    assert acknowledging.remarks(None) == []
    (remark,) = acknowledging.remarks(lambda archive: archive != archive_of(7))
    expected = f"{archive_of(5).key}, {archive_of(6).key}"
    assert remark == RunNoted(message=f"acknowledged, but not part of the plan: {expected}")
    assert acknowledging.remarks(lambda _: False) == []
