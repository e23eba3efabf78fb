"""Writes the rows of data files that are gone or cut again, from the archives that had them.

The damaged files leave the table in the commit that adds the rows, so the table never lacks rows
that it is said to have. An embedded lake only: of a shared catalog, other programs take care.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import evolve, field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import NotRestoredError
from crypto_lakehouse.core.messages import some_of
from crypto_lakehouse.tables.iceberg.catalog import as_lake_errors
from crypto_lakehouse.tables.iceberg.data_files import rows_by_archive
from crypto_lakehouse.tables.iceberg.file_check import check_file, size_fault
from crypto_lakehouse.tables.iceberg.live_files import archives_between, live_files
from crypto_lakehouse.tables.ingest.ingest_plan import IngestPlan, Rebuild, plan_ingestion
from crypto_lakehouse.tables.ingest.ingestion import Ingested, Ingestion
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, Standing, standings
from crypto_lakehouse.tables.ingest.row_changes import NO_CHANGES
from crypto_lakehouse.tables.ingest.zip_at_hand import zip_at_hand
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["Mended", "mend"]


@frozen
class Mended:
    """What was done about the damaged files of a table.

    Attributes:
        files: How many were replaced.
        archives: The keys of the archives that were ingested again.
        problems: Why rows could not be restored, by the key of the archive or the name of the file;
            if there are any, nothing was done.
    """

    files: int = 0
    archives: frozenset[str] = frozenset()
    problems: Mapping[str, str] = field(factory=dict)


def mend(
    ingestion: Ingestion, schema: TableSchema, sources: Iterable[Source], tree: Path
) -> Mended:
    """Ingest the archives again whose rows were in data files that are damaged.

    A file is damaged if it is gone or has another size; if archives are ingested again, all files
    are read, and pages that do not match their checksums count, too.

    Args:
        ingestion: The lake and how to ingest; the caller must hold the lake's lock.
        schema: The table.
        sources: Archives of the table that are at hand.
        tree: Where to look for others whose rows were in a damaged file.

    Raises:
        LakeError: The table cannot be read or written.
        OSError: A zip cannot be read.
    """
    catalog = ingestion.catalog
    with as_lake_errors(str(catalog.root)):
        table = None if catalog.is_shared else catalog.find(schema.name)
        damaged = [] if table is None else _damaged(table, thorough=ingestion.settings.again)
        if table is None or not damaged:
            return Mended()
        known = standings(catalog.find(ARCHIVES), schema.name)
        lost = _lost(table, damaged, known)
    if sum(lost.values()) != sum(file.record_count for file in damaged):
        reason = "it is damaged, and the archives of its rows are not known; " + _MOVE_AWAY
        return Mended(problems={_name(file): reason for file in damaged})
    at_hand = {each.archive.key: each for each in sources}
    found = {key: at_hand.get(key) or _in_tree(tree, key, known[key]) for key in sorted(lost)}
    gone = [key for key, source in found.items() if source is None]
    if gone:
        return Mended(problems=dict.fromkeys(gone, _gone(damaged)))
    again = [source for source in found.values() if source is not None]
    return _write_again(ingestion, schema, again, damaged, known)


#: Some of the rows of such a day are those of its month's old version, which are lost.
_UNCLEAR = (
    "its zip is gone, and the rows of its month, which has a new version, were in a data file that "
    "is damaged or gone: collect it again, then run `crypto-lakehouse ingest`"
)


def _unclear(plan: IngestPlan, known: Mapping[str, Standing]) -> list[str]:
    """The archives without zips that would be merged with new versions of lost ones."""
    return [
        archive.key
        for work in plan.ingest
        if isinstance(work, Rebuild)
        and any(each.sha256 != known[each.archive.key].sha256 for each in work.changed)
        for archive in work.stored
    ]


_MOVE_AWAY = "move the lake away, and run `crypto-lakehouse ingest`"


def _in_tree(tree: Path, key: str, standing: Standing) -> Source | None:
    archive = Archive.parse(key)
    return zip_at_hand(archive, standing, Source(archive, tree / key, standing.sha256))


def _name(file: DataFile) -> str:
    return file.file_path.rpartition("/")[2]


def _gone(damaged: list[DataFile]) -> str:
    names = some_of([*map(_name, damaged)], 3)
    return (
        f"its rows were in a data file that is damaged or gone ({names}), and its zip in "
        "this version is gone, too: collect it again, then run `crypto-lakehouse ingest`"
    )


def _write_again(
    ingestion: Ingestion,
    schema: TableSchema,
    sources: list[Source],
    damaged: list[DataFile],
    known: Mapping[str, Standing],
) -> Mended:
    def tell(ingested: Ingested) -> None:
        ingestion.tell(evolve(ingested, changes=NO_CHANGES))  # the table had these rows

    plan = evolve(plan_ingestion(sources, known, zip_at_hand, again=True), damaged=tuple(damaged))
    if unclear := _unclear(plan, known):
        return Mended(problems=dict.fromkeys(unclear, _UNCLEAR))
    try:
        evolve(ingestion, tell=tell).run(schema, plan)
    except NotRestoredError as error:
        return Mended(problems={error.key: error.reason})
    return Mended(len(damaged), frozenset(each.archive.key for each in sources))


def _damaged(table: Table, *, thorough: bool) -> list[DataFile]:
    def fault(file: DataFile) -> str:
        return check_file(table, file).fault if thorough else size_fault(table, file)

    return [file for file in live_files(table) if fault(file)]


def _lost(
    table: Table, damaged: list[DataFile], known: Mapping[str, Standing]
) -> Mapping[str, int]:
    """How many rows the damaged files had of each archive: those that no other file has."""
    candidates = _candidates(table, damaged, known)
    gone = {file.file_path for file in damaged}
    there: Counter[str] = Counter()
    for file in live_files(table):
        if file.file_path not in gone and archives_between(table, file, candidates):
            there.update(rows_by_archive(table, file))
    lost = {key: known[key].rows - there[key] for key in candidates}
    return {key: count for key, count in lost.items() if count > 0}


def _candidates(table: Table, damaged: list[DataFile], known: Mapping[str, Standing]) -> list[str]:
    """The archives that may have rows in damaged files, by the bounds of their keys."""
    keys = sorted(key for key, standing in known.items() if standing.rows)
    found = (archives_between(table, file, keys) for file in damaged)
    return sorted(frozenset[str]().union(*found))
