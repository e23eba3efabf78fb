"""Symbols that runs were asked for, and that have no archive yet: nothing of them is selected."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.errors import SelectionError
from crypto_lakehouse.ledger.runs import RecordedRun
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.selected_series import asked_symbols
from crypto_lakehouse.workflows.status import status_of
from crypto_lakehouse.workflows.validation import ValidationWorkflow

BOTH = ["BTCUSDT", "NEWUSDT"]


@pytest.fixture
async def awaiting(collection: Collection) -> Collection:
    """A run was asked for two symbols; the source has archives of one."""
    collection.server.remove(KEY.replace("BTCUSDT", "NEWUSDT"))
    report = await collection.run(symbols=BOTH, discovery="calendar")
    assert report.totals["verified"] == 1
    assert not (collection.root / "data/spot/daily/klines/NEWUSDT").exists()
    return collection


@pytest.mark.parametrize("workflow", [IngestWorkflow, ValidationWorkflow])
@pytest.mark.parametrize("symbols", [BOTH, ["NEWUSDT"]])
async def test_an_awaited_symbol_is_a_note(
    awaiting: Collection, workflow: Any, symbols: list[str]
) -> None:
    config = LakeConfig(output_directory=str(awaiting.root), symbols=symbols, environ={})
    report = (await workflow(config).run()).report
    (note,) = report.notes
    assert "has no series yet of `NEWUSDT`, which a run was asked for" in note
    plain = report.to_mapping() if workflow is IngestWorkflow else report.as_dict()
    assert plain["notes"] == [note]
    count = plain["totals"]["archives"] if workflow is IngestWorkflow else plain["archives"]
    assert count == len(symbols) - 1


@pytest.mark.parametrize("workflow", [IngestWorkflow, ValidationWorkflow])
async def test_what_no_run_was_asked_for_is_refused_beside_it(
    awaiting: Collection, workflow: Any
) -> None:
    symbols = [*BOTH, "NEWUSTD"]
    with pytest.raises(SelectionError) as refused:
        await workflow(
            LakeConfig(output_directory=str(awaiting.root), symbols=symbols, environ={})
        ).run()
    (problem,) = refused.value.problems
    assert "no series of `NEWUSTD`" in str(problem)


async def test_status_takes_a_symbol_that_a_listing_did_not_have(collection: Collection) -> None:
    """A run by a listing has no series of it in the ledger."""
    await collection.run()
    chosen = {"symbols": BOTH}
    with pytest.raises(SelectionError):
        status_of(collection.root, chosen)
    with closing(sqlite3.connect(collection.root / ".lakehouse" / "ledger.sqlite")) as ledger:
        ledger.execute(
            """UPDATE runs SET selection = json_set(
                selection, '$.symbols', json('["BTCUSDT", "NEWUSDT"]'), '$.discovery', 'listing'
            )"""
        )
        ledger.commit()
    status = status_of(collection.root, chosen)
    (note,) = status.notes
    assert "has no series yet of `NEWUSDT`" in note
    assert [coverage.series.symbol for coverage in status] == ["BTCUSDT"]


def test_symbols_are_those_that_runs_name() -> None:
    def run(selection: dict[str, Any] | None) -> RecordedRun:
        return RecordedRun(status=None, selection=selection, source_url=None, listing_url=None)

    spot, um = Market.SPOT, Market.FUTURES_UM
    assert asked_symbols([run(None), run({}), run({"only": "failed"})]) == frozenset()
    named = run({"symbols": ["A*"], "markets": ["spot"]})
    mapped = run({"symbols": {"futures_um": ["B"]}})
    assert asked_symbols([named, mapped]) == {(None, "A*"), (spot, "A*"), (None, "B"), (um, "B")}
    assert len(asked_symbols([run({"symbols": ["C"]})])) == len(Market) + 1
