"""Events become records of JSON types that say who they are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import get_args

import attrs
import pytest
from tests.core.conftest import ARCHIVE, KEY, NOON

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    BodyStarted,
    Event,
    FillFinished,
    FolderListed,
    HoleRecorded,
    ListingRetried,
    RecordingIngested,
    RecordingSeen,
    RunFinished,
    RunNoted,
    RunStarted,
    RunWarned,
    UnrecordedVersion,
    to_record,
)
from crypto_lakehouse.core.fills import FillVerdict, segment_of
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict

RECORDS: list[tuple[Event, dict[str, object]]] = [
    (
        RunStarted(run_id="r1", workflow="archive_collection", planned=0, at=NOON),
        {
            "event": "RunStarted",
            "run_id": "r1",
            "workflow": "archive_collection",
            "planned": 0,
            "at": "2025-07-15T12:00:00+00:00",
        },
    ),
    (RunNoted(message="a proxy"), {"event": "RunNoted", "message": "a proxy"}),
    (RunWarned(message="nothing planned"), {"event": "RunWarned", "message": "nothing planned"}),
    (
        BodyStarted(archive=ARCHIVE, facts=ObjectFacts(etag='"e"', size_bytes=0)),
        {"event": "BodyStarted", "key": KEY, "etag": '"e"', "size_bytes": 0},
    ),
    (
        ArchiveRetried(archive=ARCHIVE, attempt=1, wait_s=0.5, reason="503"),
        {"event": "ArchiveRetried", "key": KEY, "attempt": 1, "wait_s": 0.5, "reason": "503"},
    ),
    (
        ArchiveFinished(archive=ARCHIVE, verdict=Verdict.UNCHANGED),
        {
            "event": "ArchiveFinished",
            "key": KEY,
            "verdict": "unchanged",
            "fetched_bytes": 0,
            "requests": 0,
            "elapsed_s": 0.0,
        },
    ),
    (
        ArchiveFinished(
            archive=ARCHIVE,
            verdict=Verdict.VERIFIED,
            unrecorded=UnrecordedVersion(
                verdict=Verdict.UNCHANGED, facts=ObjectFacts(sha256="b"), kept_as="x.zip"
            ),
        ),
        {
            "event": "ArchiveFinished",
            "key": KEY,
            "verdict": "verified",
            "unrecorded": {"verdict": "unchanged", "sha256": "b", "kept_as": "x.zip"},
            "fetched_bytes": 0,
            "requests": 0,
            "elapsed_s": 0.0,
        },
    ),
    (
        ArchivesUnchanged("data/spot/daily/klines/BTCUSDT/1h/", 2, lambda: iter(())),
        {
            "event": "ArchivesUnchanged",
            "folder": "data/spot/daily/klines/BTCUSDT/1h/",
            "count": 2,
            "size_bytes": 0,
        },
    ),
    (
        FolderListed(folder="data/x/", first=None, last="a.zip", archives=1, size_bytes=7, at=NOON),
        {
            "event": "FolderListed",
            "folder": "data/x/",
            "last": "a.zip",
            "archives": 1,
            "size_bytes": 7,
            "at": "2025-07-15T12:00:00+00:00",
        },
    ),
    (
        FillFinished(
            archive=segment_of(ARCHIVE.series, NOON.date()),
            verdict=FillVerdict.FILLED,
            rows=24,
            complete=True,
            at=NOON,
            weight=2,
        ),
        {
            "event": "FillFinished",
            "key": "rest/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.jsonl.zst",
            "verdict": "filled",
            "rows": 24,
            "size_bytes": 0,
            "complete": True,
            "at": "2025-07-15T12:00:00+00:00",
            "requests": 0,
            "weight": 2,
        },
    ),
    (
        RecordingSeen(
            streams=1,
            messages=3,
            size_bytes=99,
            duplicates=1,
            unreadable=0,
            filled=0,
            holes=1,
            connections=2,
            reconnects=1,
            segments=0,
            lag_us=1500,
            at=NOON,
        ),
        {
            "event": "RecordingSeen",
            "streams": 1,
            "messages": 3,
            "size_bytes": 99,
            "duplicates": 1,
            "unreadable": 0,
            "filled": 0,
            "holes": 1,
            "connections": 2,
            "reconnects": 1,
            "segments": 0,
            "lag_us": 1500,
            "at": "2025-07-15T12:00:00+00:00",
        },
    ),
    (
        RecordingIngested(
            rows=7,
            duration_seconds=1.5,
            fault="a lock is held",
            at=datetime(2025, 1, 1, tzinfo=UTC),
        ),
        {
            "event": "RecordingIngested",
            "rows": 7,
            "files_merged": 0,
            "snapshots_expired": 0,
            "duration_seconds": 1.5,
            "fault": "a lock is held",
            "at": "2025-01-01T00:00:00+00:00",
        },
    ),
    (
        HoleRecorded(market="spot", stream="btcusdt@trade", first=7, last=9, cause="lost"),
        {
            "event": "HoleRecorded",
            "market": "spot",
            "stream": "btcusdt@trade",
            "first": 7,
            "last": 9,
            "cause": "lost",
        },
    ),
    (
        ListingRetried(prefix="data/", attempt=1, wait_s=0.5, reason="503"),
        {
            "event": "ListingRetried",
            "prefix": "data/",
            "attempt": 1,
            "wait_s": 0.5,
            "reason": "503",
        },
    ),
    (
        RunFinished(run_id="r1", status="complete", at=NOON),
        {
            "event": "RunFinished",
            "run_id": "r1",
            "status": "complete",
            "at": "2025-07-15T12:00:00+00:00",
        },
    ),
]


@pytest.mark.parametrize(("event", "record"), RECORDS)
def test_a_record_holds_what_the_event_says(event: Event, record: dict[str, object]) -> None:
    assert to_record(event) == record
    assert json.loads(json.dumps(to_record(event))) == record


def test_every_kind_of_event_has_a_record() -> None:
    assert {type(event) for event, _ in RECORDS} == set(get_args(Event))


@pytest.mark.parametrize("event", [event for event, _ in RECORDS])
def test_an_event_is_a_fact_and_does_not_change(event: Event) -> None:
    name = attrs.fields(type(event))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, name, None)


def test_times_keep_their_zone() -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    record = to_record(RunFinished(run_id="r", status="failed", at=at))
    assert datetime.fromisoformat(record["at"]) == at


def test_a_body_that_begins_shows_its_facts_as_attributes() -> None:
    facts = ObjectFacts(size_bytes=7, etag='"e"', last_modified="today")
    event = BodyStarted(archive=ARCHIVE, facts=facts)
    assert (event.size_bytes, event.etag, event.last_modified) == (7, '"e"', "today")


def test_a_verdict_shows_its_facts_as_attributes() -> None:
    names = [name for name in ObjectFacts._fields if name not in {"size_bytes", "mark"}]
    facts = ObjectFacts(size_bytes=7, mark=8, **dict(zip(names, names, strict=True)))
    event = ArchiveFinished(archive=ARCHIVE, verdict=Verdict.VERIFIED, facts=facts)
    assert [getattr(event, name) for name in ("size_bytes", *names)] == [7, *names]


def test_a_hole_is_said_by_its_ids_or_else_by_its_times() -> None:
    by_ids = HoleRecorded(market="spot", stream="btcusdt@trade", first=7, last=9, cause="lost")
    assert str(by_ids) == "spot btcusdt@trade: ids 7 to 9: lost"
    assert by_ids.facts() == {"stream": "btcusdt@trade", "first": 7, "last": 9, "cause": "lost"}
    by_times = HoleRecorded(market="spot", stream="a@b", since_us=1, until_us=3, cause="quiet")
    assert str(by_times) == "spot a@b: from 1 to 3 us: quiet"
    assert by_times.facts() == {"stream": "a@b", "since": 1, "until": 3, "cause": "quiet"}
