"""Several machines write to the tables of one catalog, each with a lake's folder of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from tests.tables.ingest.machines import (
    FIRST,
    SCHEMA,
    Machine,
    held_once,
    no_orphan,
    objects_in_memory,
)
from tests.tables.sample_data import bars, changed_text, days, month_of, put

from crypto_lakehouse.core.errors import LakeError, OvertakenError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.ingest import commits, publish
from crypto_lakehouse.tables.ingest import ingestion as module
from crypto_lakehouse.tables.ingest.commits import commit_change
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.lake import maintenance
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import compact, expire
from crypto_lakehouse.tables.reading.batch import Source


def test_different_archives_at_the_same_time(here: Machine, there: Machine) -> None:
    mine = [here.put(bars(day)) for day in days(FIRST, 2)]
    theirs = [there.put(bars(day, "ETHUSDT")) for day in days(FIRST, 2)]
    here.ingest(mine, lambda: there.ingest(theirs))
    assert held_once(here, *mine, *theirs)
    assert no_orphan(here)


def test_the_same_archive_at_the_same_time(here: Machine, there: Machine) -> None:
    mine, theirs = here.put(bars(FIRST)), there.put(bars(FIRST))
    here.ingest([mine], lambda: there.ingest([theirs]))
    assert held_once(here, mine)
    assert no_orphan(here)


def test_the_same_archive_between_plan_and_run(here: Machine, there: Machine) -> None:
    mine, theirs = here.put(bars(FIRST)), there.put(bars(FIRST))
    ingestion = here.ingestion()
    plan = ingestion.plan(SCHEMA, [mine])
    there.ingest([theirs])
    ingestion.run(SCHEMA, plan)
    assert held_once(here, mine)


def test_new_versions_of_one_file_at_the_same_time(here: Machine, there: Machine) -> None:
    before = [here.put(bars(day)) for day in days(FIRST, 3)]
    here.ingest(before)  # a file of three archives
    mine = here.put(bars(FIRST), changed_text(bars(FIRST)))
    theirs = there.put(before[1].archive, changed_text(before[1].archive))
    here.ingest([mine], lambda: there.ingest([theirs]))
    assert held_once(here, *before)
    assert no_orphan(here)
    volumes = Lake(here.catalog).sql("SELECT count(*) FROM spot.klines WHERE volume = 7")
    assert volumes.fetchall() == [(48,)]


@pytest.mark.parametrize("days_first", [True, False])
def test_a_month_and_its_days_at_the_same_time(
    here: Machine, there: Machine, *, days_first: bool
) -> None:
    month = month_of(bars(FIRST))
    mine, theirs = (month, bars(FIRST)) if days_first else (bars(FIRST), month)
    source, other = here.put(mine), there.put(theirs)
    with pytest.raises(LakeError) as refused:
        here.ingest([source], lambda: there.ingest([other]))
    assert f"another run added `{theirs.key}` to `spot.klines` at the same time" in str(
        refused.value
    )
    assert held_once(here, other)
    assert no_orphan(here)
    here.ingest([source])
    assert held_once(here, source if days_first else other)


@pytest.fixture
def unrecorded(there: Machine, monkeypatch: pytest.MonkeyPatch) -> Source:
    """An archive that a run on the other machine brought in; it ended before it recorded that."""

    def ended(*_args: object, **_named: object) -> None:
        raise KeyboardInterrupt

    source = there.put(bars(FIRST))
    with monkeypatch.context() as patch:
        patch.setattr(module, "record", ended)
        patch.setattr(module, "recover", ended)
        with pytest.raises(KeyboardInterrupt):
            there.ingest([source])
    assert held_once(there, source), "visible, and nobody knows of it"
    return source


def test_rows_of_a_run_that_ended_before_it_recorded_them(
    here: Machine, there: Machine, unrecorded: Source
) -> None:
    mine = here.put(bars(FIRST))
    here.ingest([mine])
    assert [each.state for each in here.told[1:]] == ["ingested"]
    assert held_once(here, mine)
    recover(there.catalog)
    there.ingest([unrecorded])
    assert held_once(here, mine)
    assert no_orphan(here)


def test_what_was_committed_stays_where_its_snapshot_has_expired(
    here: Machine, there: Machine, unrecorded: Source
) -> None:
    here.ingest([here.put(bars(FIRST, "ETHUSDT"))])
    expire(here.catalog, "spot.klines", before=datetime.now(UTC) + timedelta(days=1))
    recover(there.catalog)
    assert held_once(here, unrecorded, here.put(bars(FIRST, "ETHUSDT")))
    there.ingest([unrecorded])
    assert there.told == []


def test_compaction_at_the_same_time_as_a_new_version(
    here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in days(FIRST, 3):
        here.ingest([here.put(bars(day))])
    changed = here.put(bars(FIRST), changed_text(bars(FIRST)))

    def late(*args: Any, **named: Any) -> None:
        here.ingest([changed])
        commit_change(*args, **named)

    monkeypatch.setattr(maintenance, "commit_change", late)
    with pytest.raises(LakeError, match=r"another run changed `spot\.klines` at the same time"):
        compact(there.catalog, "spot.klines", tool_version="test")
    monkeypatch.undo()
    assert held_once(here, *(here.put(bars(day)) for day in days(FIRST, 3)))
    compact(there.catalog, "spot.klines", tool_version="test")
    assert held_once(here, *(here.put(bars(day)) for day in days(FIRST, 3)))
    assert no_orphan(here)


def test_a_commit_whose_answer_is_lost_is_made_once(
    here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_table = there.catalog.catalog.commit_table
    made = []

    def lost(table: Table, *changes: Any) -> None:
        made.append(table.name())
        commit_table(table, *changes)
        raise CommitFailedException("no answer")

    monkeypatch.setattr(there.catalog.catalog, "commit_table", lost)
    monkeypatch.setattr(module, "record", lambda *_args, **_named: None)
    theirs = there.put(bars(FIRST))
    there.ingest([theirs])
    assert made == [("spot", "klines")]
    assert held_once(here, theirs)
    table = here.catalog.find("spot.klines")
    assert table is not None
    assert "commit.retry.num-retries" not in table.properties


def test_a_catalog_that_refuses_all_the_time(
    here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def refuse(table: Table, *_changes: Any) -> None:
        tries.append(table.name())
        raise CommitFailedException("not today")

    monkeypatch.setattr(there.catalog.catalog, "commit_table", refuse)
    monkeypatch.setitem(commits._RETRIES, "commit.retry.max-wait-ms", "0")
    with pytest.raises(LakeError, match=r"refused to commit .* 20 times, .*: not today"):
        there.ingest([there.put(bars(FIRST))])
    assert len(tries) == 20
    assert held_once(here)
    assert no_orphan(here)


def test_writers_that_are_always_first(
    here: Machine, there: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.ingest([here.put(bars(FIRST))])
    tries = []

    def overtaken(table: Table, *_args: Any, **_named: Any) -> None:
        tries.append(table.name())
        raise OvertakenError(table.location(), "another run was first")

    monkeypatch.setattr(publish, "commit_change", overtaken)
    with pytest.raises(OvertakenError, match="another run was first"):
        there.ingest([there.put(bars(FIRST), changed_text(bars(FIRST)))])
    assert len(tries) == 10
    assert no_orphan(here)


@pytest.mark.parametrize("opened", [None, objects_in_memory], ids=["server", "url"])
@given(
    plans=st.lists(
        st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True), min_size=2, max_size=3
    )
)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_writers_at_once(
    plans: list[list[int]],
    tmp_path_factory: pytest.TempPathFactory,
    opened: Callable[[], ObjectClient] | None,
) -> None:
    root = tmp_path_factory.mktemp("machines")
    client = opened and opened()
    Machine(root, "first", client).ingest([put(root / "first", bars(date(2022, 1, 1)))])
    machines = [Machine(root, f"machine{number}", client) for number in range(len(plans))]
    together = threading.Barrier(len(plans))

    def write(machine: Machine, plan: list[int]) -> None:
        sources = [machine.put(bars(days(FIRST, 6)[number])) for number in plan]
        machine.ingest(sources, lambda: waited(together))

    with ThreadPoolExecutor(len(plans)) as pool:
        assert [*pool.map(write, machines, plans)] == [None] * len(plans)
    wanted = {number for plan in plans for number in plan}
    assert held_once(
        machines[0], *(machines[0].put(bars(days(FIRST, 6)[number])) for number in wanted)
    )
    assert no_orphan(machines[0])


def waited(barrier: threading.Barrier) -> None:
    barrier.wait(200)
