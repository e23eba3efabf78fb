"""A model of the tables: whatever arrives in whatever order, and is split into whatever runs."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.tables.ingest.lake_contents import TABLE, ParquetFiles, differences, files, rows
from tests.tables.sample_data import (
    bars,
    ingest,
    month_of,
    put,
    put_excerpt,
    put_segment,
    text_of,
)

from crypto_lakehouse.core.archive import Archive, Origin
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingested import Ingested
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import compact, expire, sweep
from crypto_lakehouse.tables.reading.batch import Source

FIRST = date(2023, 8, 28)
BEGIN = datetime(2023, 8, 1, tzinfo=UTC)

#: Segments of two recordings; by the last digit, one of them has a slower connection.
SEGMENTS = [
    "2023-08-28T12-0003-9f3c0001",
    "2023-08-28T13-0000-9f3c0001",
    "2023-08-28T12-0000-aa3c0002",
]

#: What an archive says: the volume of each bar that it has, by its time.
Bars = dict[datetime, float]

#: The last four days of August, twelve hours apart; the bars on which archives may disagree.
EDGE = [datetime(2023, 8, 28, tzinfo=UTC) + timedelta(hours=12 * number) for number in range(8)]


def written(archive: Archive, has: Bars) -> str:
    """The text of an archive of bars of twelve hours that says this."""
    lines = []
    for line in text_of(archive).splitlines():
        values = line.split(",")
        time = datetime.fromtimestamp(int(values[0]) / 1000, UTC)
        if time in has:
            values[5], values[9], values[10] = str(has[time]), "0", "0"
            lines.append(",".join(values))
    return "\n".join(lines) + "\n"


def rank_of(key: str) -> tuple[Any, ...]:
    """Orders archives by preference: months, days, fills, and recordings, the first one first."""
    received = received_after(key) if key.startswith("live/") else 0
    return _place(key), "/daily/" in key, "-2023-08." not in key, received, key


def _place(key: str) -> int:
    return [*Origin].index(Origin.of(key))


def received_after(key: str) -> int:
    """How many seconds after they open a recording received bars, by the key of an excerpt."""
    return int(Archive.parse(key).segment[-1])


def standing_rows(published: dict[str, Bars]) -> dict[tuple[str, datetime], tuple[str, float]]:
    """The rows that stand, by symbol and time: the archive and what it says."""
    stand: dict[tuple[str, datetime], tuple[str, float]] = {}
    for key in sorted(published, key=rank_of):
        symbol = Archive.parse(key).symbol
        for time, volume in published[key].items():
            before = stand.get((symbol, time))
            if before is None or ("data/" in key and "/daily/" in key and before[1] != volume):
                stand[symbol, time] = (key, volume)
    return stand


def standing_differences(published: dict[str, Bars]) -> set[tuple[str, str, datetime]]:
    """Which archive stands, which differs, and where."""
    fills = fill_differences(published)
    published = {key: has for key, has in published.items() if key.startswith("data/")}
    months = {key: has for key, has in published.items() if "/monthly/" in key}
    stand = standing_rows(months)
    found = set()
    for key, has in published.items():
        symbol = Archive.parse(key).symbol
        for time, volume in has.items():
            month, other = stand.get((symbol, time), (key, volume))
            if other != volume:
                pair = (key, month) if "/daily/" in key else (month, key)
                found.add((*pair, time))
    return found | fills


def fill_differences(published: dict[str, Bars]) -> set[tuple[str, str, datetime]]:
    """Where fills differ from archives, and recordings from both, whose values stand."""
    found = set()
    for origin in (Origin.FILL, Origin.LIVE):
        above = {
            key: has for key, has in published.items() if _place(key) < [*Origin].index(origin)
        }
        stand = standing_rows(above)
        found |= {
            (stand[Archive.parse(key).symbol, time][0], key, time)
            for key, has in published.items()
            if Archive.parse(key).origin is origin
            for time, volume in has.items()
            if stand.get((Archive.parse(key).symbol, time), ("", volume))[1] != volume
        }
    return found


#: Symbol and day, the archive's bars of it, those that were recorded, those of them that differ,
#: and recorded bars that the archive lacks.
Score = tuple[str, date, int, int, int, int]


def standing_scores(published: dict[str, Bars]) -> set[Score]:
    """How much of the archive's bars was recorded, of days that have both."""
    archives = {key: has for key, has in published.items() if key.startswith("data/")}
    excerpts = {key: has for key, has in published.items() if key.startswith("live/")}
    in_archive, recorded = standing_rows(archives), standing_rows(excerpts)
    found = set()
    for one in map(Archive.parse, excerpts):
        day = one.period.first_day
        if not any(
            each.symbol == one.symbol and each.period.first_day <= day <= each.period.last_day
            for each in map(Archive.parse, archives)
        ):
            continue
        of_day = [
            {time: volume for (name, time), (_, volume) in rows.items()
             if (name, time.date()) == (one.symbol, day)}
            for rows in (in_archive, recorded)
        ]  # fmt: skip
        both = of_day[0].keys() & of_day[1].keys()
        differing = sum(of_day[0][time] != of_day[1][time] for time in both)
        extra = len(of_day[1]) - len(both)
        found.add((one.symbol, day, len(of_day[0]), len(both), differing, extra))
    return found


class Ingesting(RuleBasedStateMachine):
    """Tables against dictionaries: which archives there are, and what they say."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.published: dict[str, Bars] = {}
        self.ingested: dict[str, Bars] = {}
        self.sources: dict[str, Source] = {}
        self.waiting: set[str] = set()
        self.open()

    def open(self) -> None:
        raise NotImplementedError

    def run(self, sources: list[Source]) -> list[Ingested]:
        raise NotImplementedError

    def rows(self) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def standings(self) -> list[tuple[str, str, int]]:
        raise NotImplementedError

    def differences(self) -> set[tuple[str, str, datetime]]:
        raise NotImplementedError

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    def publish(self, archive: Archive, has: Bars) -> None:
        text = written(archive, has)
        is_zip = archive.origin is Origin.ARCHIVE
        put_text = put if is_zip else put_segment
        self.sources[archive.key] = put_text(self.root, archive, text)
        self.published[archive.key] = has
        self.waiting.add(archive.key)

    @rule(day=st.integers(0, 5), symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]),
          volumes=st.dictionaries(st.integers(0, 1), st.integers(1, 3), min_size=1),
          origin=st.sampled_from([Origin.ARCHIVE, Origin.FILL]))  # fmt: skip
    def publish_day(self, day: int, symbol: str, volumes: dict[int, int], origin: Origin) -> None:
        archive = evolve(bars(FIRST + timedelta(days=day), symbol, "12h"), origin=origin)
        midnight = datetime.combine(archive.period.first_day, datetime.min.time(), UTC)
        times = {place: midnight + timedelta(hours=12 * place) for place in range(2)}
        self.publish(archive, {times[place]: volume for place, volume in volumes.items()})

    @rule(symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]), volume=st.integers(1, 3),
          edge=st.lists(st.integers(0, 3), min_size=8, max_size=8),
          padded=st.booleans())  # fmt: skip
    def publish_month(self, symbol: str, volume: int, edge: list[int], *, padded: bool) -> None:
        """A month, perhaps under its irregular name, whose last bars differ or are missing."""
        has: Bars = {BEGIN + timedelta(hours=12 * number): volume for number in range(54)}
        has |= {time: each for time, each in zip(EDGE, edge, strict=True) if each}
        month = month_of(bars(FIRST, symbol, "12h"))
        period = evolve(month.period, padded=padded)
        self.publish(evolve(month, period=period), has)

    @rule(all_of_them=st.booleans())
    def ingest(self, *, all_of_them: bool) -> None:
        """Ingest the tree, or only what was collected since, as `collect --ingest` does."""
        keys = self.sources.keys() if all_of_them else self.waiting
        told = self.run([self.sources[key] for key in sorted(keys)])
        assert {each.archive.key for each in told} <= self.waiting
        self.waiting.clear()
        self.ingested = dict(self.published)
        assert self.run(list(self.sources.values())) == []

    @invariant()
    def holds_what_the_model_says(self) -> None:
        if not getattr(self, "ingested", None):
            return
        stand = standing_rows(self.ingested)
        assert sorted(self.rows()) == sorted(
            (key, time, volume) for (_, time), (key, volume) in stand.items()
        )
        counts = Counter(key for key, _ in stand.values())
        assert sorted(self.standings()) == sorted(
            (key, "ingested" if counts[key] else "superseded", counts[key]) for key in self.ingested
        )
        assert self.differences() == standing_differences(self.ingested)


class IngestingIntoIceberg(Ingesting):
    """Iceberg tables, which may be compacted and whose snapshots may expire."""

    def open(self) -> None:
        self.catalog = LakeCatalog(self.root / "lake", create=True)

    def run(self, sources: list[Source]) -> list[Ingested]:
        return ingest(self.catalog, sources)

    def rows(self) -> list[tuple[Any, ...]]:
        return rows(self.catalog)

    def standings(self) -> list[tuple[str, str, int]]:
        query = "SELECT archive, state, rows FROM lakehouse.archives"
        return Lake(self.catalog).sql(query).fetchall()

    def differences(self) -> set[tuple[str, str, datetime]]:
        return differences(Lake(self.catalog))

    @rule(day=st.integers(0, 5), symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]),
          volumes=st.dictionaries(st.integers(0, 1), st.integers(1, 3), min_size=1),
          segment=st.sampled_from(SEGMENTS))  # fmt: skip
    def record(self, day: int, symbol: str, volumes: dict[int, int], segment: str) -> None:
        """An excerpt of one of two recordings, which may have the same bars."""
        of = bars(FIRST + timedelta(days=day), symbol, "12h")
        archive = evolve(of, origin=Origin.LIVE, segment=segment)
        midnight = datetime.combine(archive.period.first_day, datetime.min.time(), UTC)
        has: Bars = {
            midnight + timedelta(hours=12 * place): each for place, each in volumes.items()
        }
        received = timedelta(seconds=received_after(archive.key))
        text = written(of, has)
        self.sources[archive.key] = put_excerpt(self.root, archive, text, received)
        self.published[archive.key] = has
        self.waiting.add(archive.key)

    def teardown(self) -> None:
        if hasattr(self, "catalog"):
            self.catalog.close()
        super().teardown()

    @invariant()
    def scores_what_was_recorded(self) -> None:
        lake = Lake(self.catalog) if getattr(self, "ingested", None) else None
        if lake is None or "lakehouse.recorded_days" not in lake.tables:
            assert not standing_scores(getattr(self, "ingested", {}))
            return
        query = (
            "SELECT symbol, day, archive_rows, recorded, differing, not_in_archive, missing "
            "FROM lakehouse.recorded_days"
        )
        found = lake.sql(query).fetchall()
        assert sorted(each[:6] for each in found) == sorted(standing_scores(self.ingested))
        assert all(each[6] == each[2] - each[3] for each in found)

    @rule()
    def compact(self) -> None:
        if self.ingested:
            compact(self.catalog, TABLE, tool_version="test")
            partitions = [str(file.partition) for file in files(self.catalog)]
            assert len(partitions) == len(set(partitions))

    @rule()
    def expire(self) -> None:
        if self.ingested:
            expire(self.catalog, TABLE, before=datetime.now(UTC) + timedelta(days=1))
            assert len(Lake(self.catalog).snapshots(TABLE)) == 1
            assert sweep(self.catalog, TABLE, before=None) == []


class IngestingIntoFiles(Ingesting):
    """Plain Parquet files."""

    def open(self) -> None:
        self.files = ParquetFiles(self.root / "files")

    def run(self, sources: list[Source]) -> list[Ingested]:
        return self.files.ingest(sources)

    def rows(self) -> list[tuple[Any, ...]]:
        return self.files.rows()

    def standings(self) -> list[tuple[str, str, int]]:
        return self.files.standings()

    def differences(self) -> set[tuple[str, str, datetime]]:
        return self.files.differences()


_SETTINGS = settings(max_examples=12, stateful_step_count=12, deadline=None)
IngestingIntoIceberg.TestCase.settings = _SETTINGS
IngestingIntoFiles.TestCase.settings = _SETTINGS
TestIngestingIntoIceberg = IngestingIntoIceberg.TestCase
TestIngestingIntoFiles = IngestingIntoFiles.TestCase
