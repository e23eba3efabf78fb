"""What was replaced is told, and given back."""

from __future__ import annotations

import hashlib
import io
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from attrs import evolve
from tests.workflows.conftest import KEY, SIDECAR, Collection, make_zip, member_of, sidecar_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ArchiveKeyError, ConfigurationError, StoreError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.history import Version, version_as_of, versions_of
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.workflows.history import (
    PruneResult,
    bytes_place,
    changes_since,
    history_of,
    parse_moment,
    prune_replaced,
    restore,
    version_at,
)

LATER = datetime(2999, 1, 1, tzinfo=UTC)
NEWS = make_zip(member_of(KEY), b"other,bars\n")


@pytest.fixture
async def replaced(collection: Collection) -> Collection:
    """An archive was collected, published anew, and collected again."""
    collection.config["listing_url"] = collection.server.url
    await collection.run()
    collection.server.put(KEY, NEWS)
    collection.server.put(SIDECAR, sidecar_of(NEWS, KEY.rpartition("/")[2]))
    report = await collection.run()
    assert report.totals[Verdict.VERIFIED] == 1
    return collection


def version(first: str, until: str | None, **facts: object) -> Version:
    """A version that stood from one day to another."""
    base: dict[str, object] = {
        "key": KEY, "verdict": Verdict.VERIFIED, "size_bytes": 1, "sha256": "a" * 64,
        "published_sha256": None, "etag": None, "last_modified": None,
        "first_seen_at": f"{first}T00:00:00+00:00", "last_seen_at": f"{first}T00:00:00+00:00",
        "until": until and f"{until}T00:00:00+00:00", "change": "replaced" if until else "",
        "kept_as": None, "accepted": False, "newer_verdict": None, "newer_reason": None,
    }  # fmt: skip
    return Version(**{**base, **facts})  # type: ignore[arg-type]


def test_versions_are_told_oldest_first(replaced: Collection) -> None:
    old, new = history_of(replaced.root, KEY)
    assert (old.change, old.is_current, new.change, new.is_current) == ("replaced", False, "", True)
    assert old.until is not None
    assert old.sha256 != new.sha256 == hashlib.sha256(NEWS).hexdigest()
    assert Path(bytes_place(replaced.root, new)) == replaced.path(KEY)
    kept = Path(bytes_place(replaced.root, old))
    assert kept.is_relative_to(replaced.root / ".lakehouse" / "replaced" / KEY)
    assert str(old.sha256) in kept.name
    assert kept.with_name(kept.name + ".CHECKSUM").read_bytes().startswith(str(old.sha256).encode())


@pytest.mark.parametrize("spelling", ["{key}", "{key}.CHECKSUM", "{root}/{key}"])
def test_a_key_may_be_spelled_as_a_path(replaced: Collection, spelling: str) -> None:
    assert len(history_of(replaced.root, spelling.format(key=KEY, root=replaced.root))) == 2


def test_changes_are_told_by_date(replaced: Collection) -> None:
    (change,) = changes_since(replaced.root, date(2025, 1, 1))
    assert (change.key, change.change) == (KEY, "replaced")
    assert change.after_size_bytes == len(NEWS)
    assert change.kept_as is not None
    assert list(changes_since(replaced.root, LATER.date())) == []


async def test_a_change_tells_what_came_next_and_not_what_is_there_now(
    replaced: Collection,
) -> None:
    newest = make_zip(member_of(KEY), b"newest")
    replaced.publish(KEY, newest)
    await replaced.run()
    first, second = changes_since(replaced.root, date(2025, 1, 1))
    assert first.after_sha256 == second.before_sha256
    assert first.after_etag == second.before_etag
    assert second.after_sha256 == hashlib.sha256(newest).hexdigest()
    assert first.before_sha256 != first.after_sha256 != second.after_sha256


async def test_versions_are_in_the_order_of_recording_if_the_clock_was_ahead(
    replaced: Collection,
) -> None:
    with closing(sqlite3.connect(replaced.root / ".lakehouse" / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE versions SET changed_at = '2998-01-01T00:00:00+00:00'")
    newest = make_zip(member_of(KEY), b"newest")
    replaced.publish(KEY, newest)
    await replaced.run()
    first, second, third = history_of(replaced.root, KEY)
    assert (second.sha256, third.is_current) == (hashlib.sha256(NEWS).hexdigest(), True)
    assert first.sha256 != third.sha256
    changes = [*changes_since(replaced.root, date(2025, 1, 1))]
    assert [change.after_sha256 for change in changes] == [second.sha256, third.sha256]
    (change,) = changes_since(replaced.root, date(2997, 1, 1))
    assert change.after_sha256 == second.sha256


def test_the_bytes_of_a_date_are_given_back(replaced: Collection, tmp_path: Path) -> None:
    target = tmp_path / "back.zip"
    assert restore(replaced.root, KEY, LATER, target).is_current
    assert target.read_bytes() == NEWS
    with pytest.raises(ConfigurationError, match="exists; --force replaces it"):
        restore(replaced.root, KEY, LATER, target)
    restore(replaced.root, KEY, LATER, target, overwrite=True)
    stream = io.BytesIO()
    restore(replaced.root, KEY, LATER, stream)
    assert stream.getvalue() == NEWS
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["back.zip"]


def test_bytes_that_are_no_longer_those_are_not_given_out(replaced: Collection) -> None:
    replaced.path(KEY).write_bytes(b"rotten")
    with pytest.raises(StoreError, match="it is not written out"):
        restore(replaced.root, KEY, LATER, io.BytesIO())


def test_a_target_that_cannot_be_written_is_said(replaced: Collection, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="its directory does not exist"):
        restore(replaced.root, KEY, LATER, tmp_path / "nowhere" / "x.zip")


def test_nothing_stood_before_the_first_sighting(replaced: Collection) -> None:
    with pytest.raises(ConfigurationError, match="was stored here then; first seen"):
        version_at(replaced.root, KEY, datetime(2020, 1, 1, tzinfo=UTC))


def test_what_was_never_seen_is_said_with_what_was(replaced: Collection, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"never seen here; its folder has 1 archive"):
        history_of(replaced.root, KEY.replace("07-15", "07-16"))
    with pytest.raises(ConfigurationError, match=r"never seen here; nothing of `data/"):
        history_of(replaced.root, KEY.replace("BTCUSDT", "ETHUSDT"))
    with pytest.raises(ArchiveKeyError):
        history_of(replaced.root, "../etc/passwd")
    with pytest.raises(ConfigurationError, match="is not a directory"):
        history_of(tmp_path / "nowhere", KEY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="has no ledger"):
        history_of(tmp_path / "empty", KEY)


def test_pruning_removes_old_bytes_and_keeps_the_history(replaced: Collection) -> None:
    kept = Path(bytes_place(replaced.root, history_of(replaced.root, KEY)[0]))
    today = datetime.now(UTC).date()
    for days in (30, 10**6, 10**12):
        assert prune_replaced(replaced.root, older_than_days=days, today=today) == PruneResult(0, 0)
    size = kept.stat().st_size
    assert prune_replaced(replaced.root, older_than_days=0, today=LATER.date()) == PruneResult(
        1, size
    )
    assert list((replaced.root / ".lakehouse" / "replaced").iterdir()) == []
    old, _ = history_of(replaced.root, KEY)
    with pytest.raises(StoreError, match="were not kept, or were pruned"):
        Path(bytes_place(replaced.root, old))
    assert replaced.path(KEY).read_bytes() == NEWS


def test_pruning_counts_nothing_that_is_gone_already(replaced: Collection) -> None:
    Path(bytes_place(replaced.root, history_of(replaced.root, KEY)[0])).unlink()
    assert prune_replaced(replaced.root, older_than_days=0, today=LATER.date()).files == 0


def test_pruning_removes_nothing_elsewhere(replaced: Collection, tmp_path: Path) -> None:
    folder = replaced.root / ".lakehouse" / "replaced"
    outside = tmp_path / "outside"
    folder.rename(outside)
    kept = [path for path in outside.rglob("*.zip") if path.is_file()]
    folder.mkdir()
    (folder / "data").symlink_to(outside / "data")
    (problem,) = prune_replaced(replaced.root, older_than_days=0, today=LATER.date()).problems
    assert "a symbolic link leads out of" in problem
    assert [path for path in kept if path.is_file()] == kept


async def test_a_run_keeps_replaced_bytes_as_long_as_it_is_told(replaced: Collection) -> None:
    await replaced.run(replaced_retention_days=1)
    assert Path(bytes_place(replaced.root, history_of(replaced.root, KEY)[0])).is_file()
    await replaced.run(replaced_retention_days=0)
    assert list(replaced.root.glob(".lakehouse/replaced/**/*.zip")) == []


@pytest.mark.parametrize("place", ["../../x.zip", ".lakehouse/replaced/x/y.zip", "/x.zip", b"\xff"])
def test_a_row_that_no_run_wrote_keeps_nothing_else_from_being_pruned(
    replaced: Collection, place: object
) -> None:
    kept = Path(bytes_place(replaced.root, history_of(replaced.root, KEY)[0]))
    victim = replaced.root.parent / "x.zip"
    victim.write_bytes(b"precious")
    with closing(sqlite3.connect(replaced.root / ".lakehouse" / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(
            "INSERT INTO versions SELECT folder, name, change, changed_at, ?, verdict, size_bytes, "
            "sha256, published_sha256, etag, last_modified, first_seen_at, last_seen_at "
            "FROM versions",
            (place,),
        )
    pruned = prune_replaced(replaced.root, older_than_days=0, today=LATER.date())
    assert pruned.files == 1
    assert not kept.exists()
    assert victim.read_bytes() == b"precious"
    (problem,) = pruned.problems
    assert "x.zip" in problem or "the next `collect` sets it aside" in problem
    (again,) = prune_replaced(replaced.root, older_than_days=0, today=LATER.date()).problems
    assert again == problem


async def test_a_collection_that_cannot_prune_says_why(replaced: Collection) -> None:
    with closing(sqlite3.connect(replaced.root / ".lakehouse" / "ledger.sqlite")) as ledger, ledger:
        long_ago = "2020-01-01T00:00:00+00:00"
        ledger.execute("UPDATE versions SET kept_as = 'a//x.zip', changed_at = ?", (long_ago,))
    with pytest.raises(StoreError, match=r"a//x.zip"):
        await replaced.run(replaced_retention_days=0)


async def test_a_run_that_keeps_nothing_says_so_in_the_history(collection: Collection) -> None:
    collection.config |= {"listing_url": collection.server.url, "replaced_retention_days": 0}
    await collection.run()
    collection.server.put(KEY, NEWS)
    collection.server.put(SIDECAR, sidecar_of(NEWS, KEY.rpartition("/")[2]))
    await collection.run()
    old, _ = history_of(collection.root, KEY)
    assert (old.change, old.kept_as) == ("replaced", None)


@pytest.mark.parametrize(
    ("day", "found"),
    [("2026-01-01", None), ("2026-01-02", 0), ("2026-01-05", 1), ("2026-01-09", 2)],
)
def test_a_version_stands_until_the_next_one(day: str, found: int | None) -> None:
    versions = [
        version("2026-01-02", "2026-01-05"),
        version("2026-01-05", "2026-01-09"),
        version("2026-01-09", None),
    ]
    moment = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    assert version_as_of(versions, moment) == (None if found is None else versions[found])


HTTP = "Fri, 02 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("times", "published", "day", "found"),
    [
        # The clock was ahead when the first version was seen: the next one is clamped to it.
        ("2998 2998 2998, 2998 2026-01-05", None, "2026-01-04", None),
        ("2998 2998 2998, 2998 2026-01-05", None, "2026-01-05", 1),
        ("2998 2998 2998, 2998 2026-01-05", HTTP, "2026-01-05", 1),
        ("2998 2998 2998, 2998 2026-01-05", HTTP, "2999-01-05", 1),
        # It was ahead in between.
        ("2026-01-02 2026-01-04 2998, 2998 2998 2998, 2998 2026-01-09", HTTP, "2026-01-08", 0),
        ("2026-01-02 2026-01-04 2998, 2998 2998 2998, 2998 2026-01-09", HTTP, "2026-01-09", 2),
        # That time has come meanwhile, and what the source says shows it.
        ("2026-01-09 2026-01-09 2026-01-09, 2026-01-09 2026-01-05", HTTP, "2026-01-06", 1),
        # It was behind when the version was seen again: before it was published.
        ("2026-01-05 1970-01-01", HTTP, "2025-01-01", None),
        ("2026-01-05 1970-01-01", "2026-01-02T00:00:00Z", "2026-01-05", 0),
        ("2026-01-05 1970-01-01", None, "2025-01-01", None),
        # Other metadata of the same bytes: it was first seen before it changed.
        ("2026-01-02 2026-01-05 2026-01-05, 2026-01-02 2026-01-09", None, "2026-01-04", 0),
        ("2026-01-02 2026-01-05 2026-01-05, 2026-01-02 2026-01-09", None, "2026-01-05", 1),
        # Nothing was stored in between.
        ("2026-01-02 2026-01-03 2026-01-03, 2026-01-09 2026-01-09", None, "2026-01-05", None),
    ],
)
def test_a_clock_that_was_wrong_once_hides_no_version(
    times: str, published: str | None, day: str, found: int | None
) -> None:
    versions = []
    for text in times.split(", "):
        first, last, *until = [each if "-" in each else f"{each}-01-01" for each in text.split()]
        seen = f"{last}T00:00:00+00:00"
        facts = {"last_seen_at": seen, "last_modified": published}
        versions.append(version(first, until[0] if until else None, **facts))
    moment = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    assert version_as_of(versions, moment) == (None if found is None else versions[found])


def test_what_never_stood_at_its_name_is_no_version_of_a_date() -> None:
    refused = version("2026-01-01", None, verdict=Verdict.CORRUPT)
    assert version_as_of([refused], LATER) is None
    let_in = version("2026-01-01", None, verdict=Verdict.UPSTREAM_MISMATCH, accepted=True)
    assert version_as_of([let_in], LATER) == let_in


def test_a_restamped_version_has_its_bytes_where_its_successor_has(tmp_path: Path) -> None:
    archive = Archive.parse(KEY)
    store = LocalStore(tmp_path)
    store.own_path().mkdir(parents=True)
    ledger, _ = SqliteLedger.open(store.own_path("ledger.sqlite"))
    digest = hashlib.sha256(b"zip").hexdigest()
    facts = ObjectFacts(sha256=digest, etag='"1"')
    first = ArchiveFinished(archive=archive, verdict=Verdict.VERIFIED, facts=facts)
    again = evolve(first, facts=facts._replace(etag='"2"'), change="restamped")
    ledger.write([first])
    ledger.write([again])
    ledger.close()
    target = tmp_path / KEY
    target.parent.mkdir(parents=True)
    target.write_bytes(b"zip")
    old, new = versions_of(store.own_path("ledger.sqlite"), archive)
    assert (old.etag, old.change, new.etag) == ('"1"', "restamped", '"2"')
    assert Path(bytes_place(tmp_path, old)) == Path(bytes_place(tmp_path, new)) == target


def test_a_day_means_its_end_and_a_moment_itself() -> None:
    assert parse_moment("2026-01-02") == datetime(2026, 1, 2, 23, 59, 59, tzinfo=UTC)
    assert parse_moment("2026-01-02T03:04:05") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parse_moment("2026-01-02T03:04:05+02:00") == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    with pytest.raises(ValueError, match="soon"):
        parse_moment("soon")
