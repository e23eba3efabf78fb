"""What another machine records while an ingestion runs is left out, and counts once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.catalog.sql import SqlCatalog
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer
from tests.tables.ingest.machines import (
    FIRST,
    SCHEMA,
    Machine,
    held_once,
    no_orphan,
    objects_in_memory,
    rows,
)
from tests.tables.sample_data import bars, changed_text, days, month_of, put, text_of

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.commit_lock import commit_lock
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.ingest.ingestion import Ingestion, IngestSettings
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, standings
from crypto_lakehouse.tables.ingest.recorded_meanwhile import Recorded
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.reading.batch import Source

DAYS = [bars(day) for day in days(FIRST, 6)]
MONTH = month_of(bars(FIRST))
NAME = SCHEMA.name


def told(machine: Machine) -> Counter[str]:
    """The rows that the results of a machine count, by key; without those of the fixture."""
    counts = Counter[str]()
    for each in machine.told:
        if each.archive.period.first_day.year != 2022:
            counts[each.archive.key] += each.rows
    return counts


def in_table(machine: Machine) -> Counter[str]:
    return Counter(row[1] for row in rows(machine) if row[2].year != 2022)


def states(machine: Machine) -> dict[str, str]:
    known = standings(machine.catalog.find(ARCHIVES), NAME)
    return {key: each.state for key, each in known.items() if "2023" in key}


def test_the_same_archive_counts_once(here: Machine, there: Machine) -> None:
    mine, second = here.put(DAYS[0]), there.put(DAYS[0])
    here.ingest([mine], lambda: there.ingest([second]))
    assert held_once(here, mine)
    assert (told(here), told(there)) == (Counter(), in_table(here))
    assert here.recorded == [Recorded(table=NAME, unchanged=1)]
    assert there.recorded == []
    assert no_orphan(here)


def test_a_file_of_several_archives_is_written_again_without_one(
    here: Machine, there: Machine
) -> None:
    mine = [here.put(each) for each in DAYS[:3]]
    second = there.put(DAYS[1])
    here.ingest(mine, lambda: there.ingest([second]))
    assert held_once(here, *mine)
    assert told(here) + told(there) == in_table(here)
    assert set(told(there)) == {DAYS[1].key}
    assert here.recorded == [Recorded(table=NAME, unchanged=1)]
    assert no_orphan(here)


def test_a_merge_that_another_machine_has_made_counts_once(here: Machine, there: Machine) -> None:
    def sources(machine: Machine) -> list[Source]:
        return [machine.put(MONTH), machine.put(DAYS[0], changed_text(DAYS[0])),
                machine.put(DAYS[1])]  # fmt: skip

    mine, second = sources(here), sources(there)
    here.ingest(mine, lambda: there.ingest(second))
    assert held_once_each_time(here)
    assert told(here) == Counter()
    assert told(there) == in_table(here)
    assert here.recorded == [Recorded(table=NAME, unchanged=2, covered=1)]
    assert [each.differing for each in here.told[1:]] == []
    assert no_orphan(here)


def held_once_each_time(machine: Machine) -> bool:
    found = [(row[0], row[2]) for row in rows(machine)]
    return len(set(found)) == len(found)


def test_a_merge_with_an_archive_that_another_machine_has_brought(
    here: Machine, there: Machine
) -> None:
    mine = [here.put(MONTH), here.put(DAYS[0]), here.put(DAYS[1], changed_text(DAYS[1]))]
    second = there.put(DAYS[0])
    here.ingest(mine, lambda: there.ingest([second]))
    assert held_once_each_time(here)
    assert set(told(there)) == {DAYS[0].key}
    assert set(told(here)) == {MONTH.key, DAYS[1].key}
    assert here.recorded == [Recorded(table=NAME, unchanged=1)]
    assert states(here) == {
        MONTH.key: "ingested", DAYS[0].key: "superseded", DAYS[1].key: "ingested",
    }  # fmt: skip
    assert sum(in_table(here).values()) == len(text_of(MONTH).splitlines())
    assert no_orphan(here)


def test_a_merge_with_a_version_that_is_not_current_any_more_is_refused(
    here: Machine, there: Machine
) -> None:
    day = here.put(DAYS[0])
    here.ingest([day])
    newer = there.put(DAYS[0], changed_text(DAYS[0]))
    with pytest.raises(LakeError, match=f"another version of `{DAYS[0].key}` for .* run the comm"):
        here.ingest([day, here.put(MONTH)], lambda: there.ingest([newer]))
    assert states(here) == {DAYS[0].key: "ingested"}
    assert no_orphan(here)
    here.ingest([here.put(DAYS[0], changed_text(DAYS[0])), here.put(MONTH)])
    assert states(here) == {DAYS[0].key: "ingested", MONTH.key: "ingested"}


def test_an_archive_that_both_refuse_is_named_by_both(here: Machine, there: Machine) -> None:
    mine, second = here.put(DAYS[0], "1,2\n"), there.put(DAYS[0], "1,2\n")
    here.ingest([mine], lambda: there.ingest([second]))
    assert [each.state for each in there.told] == ["refused"]
    assert [each.state for each in here.told[1:]] == []
    assert here.recorded == [Recorded(table=NAME, refused=frozenset({DAYS[0].key}))]
    assert states(here) == {DAYS[0].key: "refused"}


def test_a_version_that_is_refused_leaves_the_one_of_another_machine(
    here: Machine, there: Machine
) -> None:
    good = there.put(DAYS[0])
    here.ingest([here.put(DAYS[0], "1,2\n")], lambda: there.ingest([good]))
    assert states(here) == {DAYS[0].key: "ingested"}
    assert held_once(here, good)


def test_two_versions_at_the_same_time_leave_one_with_its_record(
    here: Machine, there: Machine
) -> None:
    mine, second = here.put(DAYS[0], changed_text(DAYS[0])), there.put(DAYS[0])
    here.ingest([mine], lambda: there.ingest([second]))
    assert held_once(here, mine)
    assert standings(here.catalog.find(ARCHIVES), NAME)[DAYS[0].key].sha256 == mine.sha256
    assert [each.replaced for each in here.told[1:]] == [1]
    assert here.recorded == [Recorded(table=NAME)]


def test_what_is_ingested_again_on_purpose_is_not_left_out(here: Machine, there: Machine) -> None:
    mine = here.put(DAYS[0])
    here.ingest([mine])
    ingestion = here.ingestion(lambda: there.ingest([there.put(DAYS[1])]))
    ingestion.settings = IngestSettings(again=True)
    ingestion.run(SCHEMA, ingestion.plan(SCHEMA, [mine]))
    assert [each.replaced for each in here.told[2:]] == [1]
    assert here.recorded == []


VERSIONS = st.dictionaries(st.integers(0, 3), st.booleans(), max_size=4)


@given(before=VERSIONS, first=VERSIONS, second=VERSIONS, months=st.tuples(*[st.booleans()] * 2))
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_two_machines(
    before: dict[int, bool],
    first: dict[int, bool],
    second: dict[int, bool],
    months: tuple[bool, bool],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("machines")
    client = objects_in_memory()
    Machine(root, "first", client).ingest([put(root / "first", bars(date(2022, 1, 1)))])
    here, there = (Machine(root, name, client) for name in ("here", "there"))

    def sources(machine: Machine, plan: dict[int, bool], *, month: bool = False) -> list[Source]:
        each = [
            machine.put(DAYS[number], changed_text(DAYS[number]) if changed else None)
            for number, changed in plan.items()
        ]
        return [*each, machine.put(MONTH)] if month else each

    there.ingest(sources(there, before))
    mine = sources(here, {**before, **first}, month=months[0])
    both = [sources(there, {**before, **second}, month=months[1])]
    done = True
    try:
        here.ingest(mine, lambda: there.ingest(both.pop()))
    except LakeError as error:
        assert "run the command again" in error.reason
        done = False
    if both:  # nothing was new here
        there.ingest(both.pop())
    assert held_once_each_time(here)
    if not done:
        here.ingest(mine)
    known = standings(here.catalog.find(ARCHIVES), NAME)
    counted = in_table(here)
    for key, each in known.items():
        if "2023" in key:
            assert counted[key] == (each.rows if each.state == "ingested" else 0)
    newest = {**before, **second, **first}
    for number in newest:
        # The month takes the times that it has in common with unchanged days.
        assert DAYS[number].key in known
    if not (any(months) or set(first) & set(second) or set(before) & {*first, *second}):
        assert told(here) + told(there) == counted
    assert no_orphan(here)


# Two processes ----------------------------------------------------------------------------------

_WRITER = """
import json, sys
from pathlib import Path
from tests.tables.ingest.machines import FIRST, SCHEMA
from tests.tables.sample_data import bars, days, month_of, put
from tests.tables.ingest.test_recorded_meanwhile import opened
from crypto_lakehouse.tables.ingest.ingestion import Ingestion, IngestSettings

root, kind, name, database, numbers = Path(sys.argv[1]), *sys.argv[2:6]
catalog = opened(root, kind, name, database)
told, recorded = [], []

def meet():
    print("ready", flush=True)
    sys.stdin.readline()

sources = [put(root / name / "tree", bars(days(FIRST, 9)[int(each)])) for each in numbers]
ingestion = Ingestion(catalog, IngestSettings(), told.append, on_commit=meet,
                      on_recorded=recorded.append)
ingestion.run(SCHEMA, ingestion.plan(SCHEMA, sources))
print(json.dumps([sum(each.rows for each in told), sum(each.unchanged for each in recorded)]))
"""


def opened(root: Path, kind: str, name: str, database: str) -> LakeCatalog:
    """A lake in a directory, or one at a URL, with a catalog in PostgreSQL."""
    if kind == "directory":
        return LakeCatalog(root / "lake", database, create=True)
    url = StoreUrl.parse(os.environ["LAKE"])
    place = LakePlace.at_url(url, json.loads(os.environ["STORAGE"]), None, str(root / name))
    return LakeCatalog(place, database, create=True)


@pytest.mark.parametrize("kind", ["directory", "url"])
def test_two_processes_that_commit_at_the_same_time_share_the_report(
    kind: str,
    postgres_server: PostgresServer,
    ministack_bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    ministack_bucket.give_credentials(monkeypatch)
    monkeypatch.setenv("LAKE", ministack_bucket.fresh_prefix())
    monkeypatch.setenv("STORAGE", json.dumps(dict(ministack_bucket.storage)))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    database, pipe = postgres_server.url(), subprocess.PIPE
    with closing(opened(tmp_path, kind, "first", database)) as catalog:
        first = put(tmp_path / "first-tree", bars(date(2022, 1, 1)))
        ingestion = Ingestion(catalog, IngestSettings())
        ingestion.run(SCHEMA, ingestion.plan(SCHEMA, [first]))
    with ExitStack() as ended:
        writers = [
            ended.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _WRITER, str(tmp_path), kind, name, database, numbers],
                    stdin=pipe,
                    stdout=pipe,
                    text=True,
                )
            )
            for name, numbers in (("one", "0123"), ("two", "2345"))
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n", "it has written its files"
        results = [json.loads(out) for out, _ in released(writers)]
    with closing(opened(tmp_path, kind, "third", database)) as catalog:
        frame = Lake(catalog).scan(NAME, columns=["archive", "open_time"]).polars().collect()
        known = standings(catalog.find(ARCHIVES), NAME)
    of_writers = frame.filter(frame["archive"] != first.archive.key)
    assert of_writers.height == of_writers["open_time"].n_unique() == 6 * 24
    assert len(known) == 7
    assert sum(rows for rows, _ in results) == 6 * 24
    assert sum(unchanged for _, unchanged in results) == 2


def released(writers: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    """Let both go on at the same time, and wait for their ends."""
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    return [writer.communicate() for writer in writers]


def test_the_lock_of_a_commit(postgres_server: PostgresServer, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    database = postgres_server.url()
    asked = []

    def stop() -> None:
        asked.append(1)
        raise KeyboardInterrupt

    with (
        closing(LakeCatalog(tmp_path / "lake", database, create=True)) as one,
        closing(LakeCatalog(tmp_path / "lake", database, create=True)) as two,
        closing(LakeCatalog(tmp_path / "other", database, create=True)) as other,
    ):
        with one.committing(NAME, stop), two.committing("spot.trades", stop):
            with other.committing(NAME, stop):
                assert asked == [], "other tables and other lakes are free"
            with pytest.raises(KeyboardInterrupt), two.committing(NAME, stop):
                pass
            assert asked == [1]
            assert isinstance(two.catalog, SqlCatalog)
            with commit_lock(two.catalog, NAME, stop, wait_s=0):
                pass  # the other one may be suspended: it goes on, and does not free the lock
            with pytest.raises(KeyboardInterrupt), two.committing(NAME, stop):
                pass
        with two.committing(NAME, stop):
            assert asked == [1, 1]
