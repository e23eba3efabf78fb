"""Files that go are found whatever threads look at the table's manifests at the same time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table, Transaction
from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.inner_names import overwrite


class Interrupted(list[Any]):
    """A manifest's partitions; at the first look at one another thread has its turn."""

    def __init__(self, partitions: list[Any], other_thread: Callable[[], Any]) -> None:
        super().__init__(partitions)
        self.turns = [other_thread]

    def __getitem__(self, place: Any) -> Any:
        if self.turns:
            self.turns.pop()()
        return super().__getitem__(place)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A table with two manifests, of a data file in a partition of its own each."""
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    for day in (date(2022, 1, 1), date(2024, 1, 1)):
        ingest(catalog, [put(tmp_path, bars(day))])
    return catalog.catalog.load_table("spot.klines")


def test_a_manifest_is_not_evaluated_by_the_partitions_of_another_one(table: Table) -> None:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    wanted, other = snapshot.manifests(table.io)
    producer = overwrite(Transaction(table), table.io, {})
    (entry,) = wanted.fetch_manifest_entry(table.io)
    producer.delete_data_file(entry.data_file)
    producer._build_delete_files_partition_predicate()
    matches = producer._build_manifest_evaluator(table.metadata.default_spec_id)
    assert (matches(wanted), matches(other)) == (True, False)
    assert wanted.partitions is not None
    partitions = Interrupted(wanted.partitions, lambda: matches(other))
    assert matches(ManifestFile.from_args(partitions=partitions))
    assert partitions.turns == [], "the other thread had its turn"
