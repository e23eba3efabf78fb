"""Copies a lake to another place, for `relocate_lake` to make it a lake of its own there.

What says which tables there are is written first, in the form that a copy by another program has:
until the relocation is complete, no other command takes the place for an empty one. Then the files
of the tables follow, and only those that are not there in their size: a copy that was killed goes
on, and one that another program made is completed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import IO

from attrs import frozen

from crypto_lakehouse.core.errors import LakeError, NoLakeError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.catalog_errors import as_lake_errors
from crypto_lakehouse.tables.iceberg.copied_tables import Locations, copied_tables, write_copied
from crypto_lakehouse.tables.iceberg.lake_formats import NOT_RELOCATED, format_fault
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.local_io import WAREHOUSE
from crypto_lakehouse.tables.iceberg.lost_tables import committed_metadata
from crypto_lakehouse.tables.iceberg.table_records import TableRecords
from crypto_lakehouse.tables.ingest.in_threads import in_threads
from crypto_lakehouse.tables.lake.lake_files import LakeFiles, files_of

__all__ = ["LakeCopy", "copy_lake"]

_STEP_BYTES = 1 << 20

#: How many files are copied at a time.
_WORKERS = 8


@frozen
class LakeCopy:
    """What is copied.

    Attributes:
        source: Where from: an absolute path, or a URL.
        tables: How many tables the lake has.
        files: How many files are copied.
        size_bytes: Their bytes.
    """

    source: str
    tables: int
    files: int
    size_bytes: int


def copy_lake(
    source: LakePlace,
    target: LakePlace,
    tell: Callable[[LakeCopy], None],
    *,
    dry_run: bool = False,
) -> LakeCopy | None:
    """Copy the files of a lake's tables to a place without tables; blocking.

    The caller must hold the lock of the target, except for a dry run, which writes nothing. If
    another program commits to the source meanwhile, the version of the beginning is copied.

    Args:
        source: The lake.
        target: Where to.
        tell: Is called before anything is copied.
        dry_run: Whether only to find out what there is to do.

    Returns:
        What was copied; None if an earlier run had copied all, and was killed later.

    Raises:
        LakeError: There are other tables at the target, or a file changed while it was copied.
        NoLakeError: There is no lake to copy.
        OSError: A file cannot be read or written.
        StoreError: An object store fails.
    """
    if source.root == target.root:
        raise LakeError(target.root, "it would be copied to itself; name another place")
    if target.root.startswith(f"{source.root}/"):
        reason = f"it is inside `{source.root}`, which would be copied to it; name another place"
        raise LakeError(target.root, reason)
    with as_lake_errors(str(source)):
        tables = _tables(source)
    with as_lake_errors(str(target)):
        copied = copied_tables(target)
        if _has_tables(target, is_copy=copied is not None):
            return None
        left = _left(files_of(source), files_of(target), tables)
        copy = LakeCopy(source.root, len(tables), len(left), sum(left.values()))
        tell(copy)
        if not dry_run:
            if copied != tables:
                write_copied(target, tables)
            _copy(files_of(source), files_of(target), left)
        return copy


def _tables(source: LakePlace) -> dict[str, Locations]:
    if source.client is None:
        catalog = LakeCatalog(source)
        try:
            return {name: catalog.locations(name) for name in catalog.names()}
        finally:
            catalog.close()
    records = TableRecords(source.client)
    found = {name: records.read(name) for name in records.names()}
    if not found:
        fault = NOT_RELOCATED if source.has_copied_tables() else _why_no_lake(source.client)
        raise NoLakeError(str(source), fault)
    return {
        name: (record.metadata, record.previous)
        for name, record in found.items()
        if record is not None
    }


def _why_no_lake(client: ObjectClient) -> str:
    """Say why a URL without a record of a table has no lake to copy."""
    found = committed_metadata(client)
    if found is None:
        return "has no lake; name the output or the lake that `ingest` wrote to"
    return (
        f"has metadata of tables (`{found}`), and no object in `.lakehouse/tables/` says which is "
        "the current one. The tables of another catalog (`--catalog`) are not copied: ingest the "
        "archives into the new lake; if the objects were removed, restore them"
    )


def _has_tables(target: LakePlace, *, is_copy: bool) -> bool:
    """Whether a relocation was killed after everything had been copied.

    Raises:
        LakeError: There are other tables, or plain Parquet files.
    """
    if target.has_tables():
        if not is_copy:
            reason = (
                "it has tables already, and nothing is copied over them; name another place, or "
                "leave `--from` out"
            )
            raise LakeError(target.root, reason)
        return True
    if not (target.is_url or is_copy) and (fault := format_fault(target.folder, "iceberg")):
        raise LakeError(target.root, f"nothing is copied: {fault}")
    return False


def _left(source: LakeFiles, target: LakeFiles, tables: Mapping[str, Locations]) -> dict[str, int]:
    """The sizes of the source's files that the target lacks, by their paths below the lake."""
    left: dict[str, int] = {}
    for name in sorted(tables):
        folder = f"{WAREHOUSE}/{'/'.join(name.rsplit('.', 1))}"
        there, here = (
            {path.removeprefix(f"{files.root}/"): size for path, size in sizes.items()}
            for files in (source, target)
            for sizes in [files.sizes(f"{files.root}/{folder}")]
        )
        left.update({path: size for path, size in there.items() if here.get(path) != size})
    return left


def _copy(source: LakeFiles, target: LakeFiles, left: Mapping[str, int]) -> None:
    def copy_one(path: str, size: int, check: Callable[[], None]) -> None:
        try:
            with source.open(f"{source.root}/{path}") as stream:
                target.store(f"{target.root}/{path}", steps(stream, path, size, check), size)
        except FileNotFoundError:
            raise _changed(source.root, path) from None

    def steps(
        stream: IO[bytes], path: str, size: int, check: Callable[[], None]
    ) -> Iterator[bytes]:
        count = 0
        while step := stream.read(_STEP_BYTES):
            check()
            count += len(step)
            yield step
        if count != size:
            raise _changed(source.root, path)

    jobs = (partial(copy_one, path, size) for path, size in left.items())
    with closing(in_threads(jobs, _WORKERS, lambda: None)) as done:
        for _ in done:
            pass
    target.sync([f"{target.root}/{path}" for path in left])


def _changed(root: str, path: str) -> LakeError:
    return LakeError(root, f"`{path}` changed while it was copied; run it again")
