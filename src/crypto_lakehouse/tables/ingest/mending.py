"""Writes the rows of data files that are gone or cut again, from the archives that had them.

The damaged files leave the table in the commit that adds the rows, so the table never lacks rows
that it is said to have. Of a catalog that is named, other programs take care.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve, field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import NotRestoredError
from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.core.messages import some_of
from crypto_lakehouse.tables.iceberg.data_files import rows_by_archive
from crypto_lakehouse.tables.iceberg.file_check import check_file, wrong_sizes
from crypto_lakehouse.tables.iceberg.live_files import archives_between, live_files
from crypto_lakehouse.tables.ingest.commits import newest_sequence
from crypto_lakehouse.tables.ingest.ingest_plan import IngestPlan, Rebuild, plan_ingestion
from crypto_lakehouse.tables.ingest.ingested import Ingested
from crypto_lakehouse.tables.ingest.ingestion import Ingestion
from crypto_lakehouse.tables.ingest.overlaps import overlapping
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, Standing, standings
from crypto_lakehouse.tables.ingest.row_changes import NO_CHANGES
from crypto_lakehouse.tables.ingest.zip_at_hand import zip_at_hand
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["Mended", "damaged_files", "hold_back", "mend"]


@frozen
class Mended:
    """What was done about the damaged files of a table.

    Attributes:
        files: How many were replaced.
        archives: The keys of the archives that were ingested again.
        problems: Why rows could not be restored, by the key of the archive or the name of the file;
            if there are any, nothing was done.
        damaged: The damaged files that the table still has, because of these problems.
    """

    files: int = 0
    archives: frozenset[str] = frozenset()
    problems: Mapping[str, str] = field(factory=dict)
    damaged: tuple[DataFile, ...] = ()


def mend(
    ingestion: Ingestion, schema: TableSchema, sources: Iterable[Source], files: StoredFiles
) -> Mended:
    """Ingest the archives again whose rows were in data files that are damaged.

    A file is damaged if it is gone or has another size; if archives are ingested again, all files
    are read, and pages that do not match their checksums count, too.

    Args:
        ingestion: The lake and how to ingest; the caller must hold the lake's lock.
        schema: The table.
        sources: Archives of the table that are at hand.
        files: Where to look for others whose rows were in a damaged file.

    Raises:
        LakeError: The table cannot be read or written.
        OSError: A zip cannot be read.
    """
    catalog = ingestion.catalog
    with catalog.errors():
        damaged = damaged_files(ingestion, schema)
        table = catalog.find(schema.name) if damaged else None
        if table is None:
            return Mended()
        archives = catalog.find(ARCHIVES)
        sequence = 0 if archives is None else newest_sequence(archives)
        known = standings(archives, schema.name)
        lost = _lost(table, damaged, known)
    if sum(lost.values()) != sum(file.record_count for file in damaged):
        reason = "it is damaged, and the archives of its rows are not known; " + _MOVE_AWAY
        return _not_mended({_name(file): reason for file in damaged}, damaged)
    at_hand = {each.archive.key: each for each in sources}
    found = {key: at_hand.get(key) or _in_store(files, key, known[key]) for key in sorted(lost)}
    gone = [key for key, source in found.items() if source is None]
    if gone:
        return _not_mended(dict.fromkeys(gone, _gone(damaged)), damaged)
    again = [source for source in found.values() if source is not None]
    plan = plan_ingestion(again, known, zip_at_hand, again=True)
    plan = evolve(plan, damaged=tuple(damaged), sequence=sequence)
    return _write_again(ingestion, schema, again, plan, known)


def damaged_files(ingestion: Ingestion, schema: TableSchema) -> list[DataFile]:
    """The data files of a table that are gone or have another size, or what `mend` adds to these.

    Raises:
        LakeError: The table cannot be read.
    """
    catalog, thorough = ingestion.catalog, ingestion.settings.again
    with catalog.errors():
        table = catalog.find(schema.name) if catalog.name is None else None
        if table is None:
            return []
        if thorough:
            return [file for file in live_files(table) if check_file(table, file).fault]
        return wrong_sizes(table, live_files(table))


def _not_mended(problems: Mapping[str, str], damaged: list[DataFile]) -> Mended:
    return Mended(problems=problems, damaged=tuple(damaged))


def hold_back(
    ingestion: Ingestion, schema: TableSchema, plan: IngestPlan, damaged: Iterable[DataFile]
) -> tuple[IngestPlan, dict[str, str]]:
    """Take out of a plan what cannot be done while the table has damaged files.

    To replace or merge archives, the files are read that may have rows of theirs. What only adds
    rows reads none.

    Args:
        ingestion: The lake.
        schema: The table.
        plan: What to do for it.
        damaged: Its damaged files.

    Returns:
        The rest of the plan; and why the others must wait, by the keys of their archives.
    """
    files = tuple(damaged)
    table = ingestion.catalog.find(schema.name) if files else None
    if table is None:
        return plan, {}
    held: dict[str, str] = {}
    rest: list[Source | Rebuild] = []
    for work in plan.ingest:
        keys = _replaced_keys(work, plan)
        if ingestion.catalog.is_shared:
            keys = sorted({*keys, *_looked_for(work)})
        near = [file for file in files if archives_between(table, file, keys)]
        if near:
            changed = (work,) if isinstance(work, Source) else work.changed
            held.update(dict.fromkeys((each.archive.key for each in changed), _waits(near)))
        else:
            rest.append(work)
    return evolve(plan, ingest=tuple(rest)), held


def _replaced_keys(work: Source | Rebuild, plan: IngestPlan) -> list[str]:
    """The archives of a work whose rows are in the table, sorted."""
    if isinstance(work, Rebuild):
        return sorted(work.standings.keys() & {archive.key for archive in work.archives})
    return [work.archive.key] if work.archive.key in plan.again else []


def _looked_for(work: Source | Rebuild) -> Iterator[str]:
    """The archives whose rows a commit to a shared catalog looks for, as others may add some."""
    for archive in (work.archive,) if isinstance(work, Source) else work.archives:
        yield archive.key
        yield from (rival.key for rival in overlapping(archive))


def _waits(files: list[DataFile]) -> str:
    names = some_of([*map(_name, files)], 3)
    return (
        f"it waits, because rows of its month may be in a data file that is damaged or gone "
        f"({names}) and could not be mended"
    )


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


def _in_store(files: StoredFiles, key: str, standing: Standing) -> Source | None:
    return zip_at_hand(Archive.parse(key), standing, files)


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
    plan: IngestPlan,
    known: Mapping[str, Standing],
) -> Mended:
    damaged = [*plan.damaged]

    def tell(ingested: Ingested) -> None:
        ingestion.tell(evolve(ingested, changes=NO_CHANGES))  # the table had these rows

    if unclear := _unclear(plan, known):
        return _not_mended(dict.fromkeys(unclear, _UNCLEAR), damaged)
    try:
        evolve(ingestion, tell=tell).run(schema, plan)
    except NotRestoredError as error:
        return _not_mended({error.key: error.reason}, damaged)
    return Mended(len(damaged), frozenset(each.archive.key for each in sources))


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
