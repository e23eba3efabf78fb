"""The end of an ingestion: one commit adds the new rows and removes those that they replace.

The lake's lock keeps other runs out of the embedded catalog. Other machines may write to a shared
catalog at the same time, so the table itself is inspected before each commit: the rows of an
archive must not be added twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from attrs import frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LakeError, OvertakenError
from crypto_lakehouse.tables.files.partition_writer import WriterFactory, data_root
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.data_files import archives_in
from crypto_lakehouse.tables.iceberg.file_check import refuse_gone
from crypto_lakehouse.tables.iceberg.live_files import (
    bounds_of_archives,
    files_holding,
    live_files,
)
from crypto_lakehouse.tables.ingest.commits import TableChange, commit_change, plan_removal
from crypto_lakehouse.tables.ingest.overlaps import keys_of_excerpts, overlapping

__all__ = ["TRIES", "Publication"]

#: How often a commit is planned while other writers commit first.
TRIES = 10


@frozen(kw_only=True)
class Publication:
    """One attempt at the commit of an ingestion.

    Attributes:
        catalog: The lake's tables.
        commit: The commit's name.
        files: Rewrites the data files that lose some of their rows.
        written: Data files with the rows of the added archives.
        added: The archives whose rows are added.
        replaced: The archives whose rows are removed.
        damaged: Data files that are removed although they cannot be read.
        known: Keys of archives that the lake had when the rows were written.
        tool_version: Recorded in the snapshot.
    """

    catalog: LakeCatalog
    commit: str
    files: WriterFactory
    written: tuple[DataFile, ...]
    added: tuple[Archive, ...]
    replaced: tuple[Archive, ...]
    damaged: tuple[DataFile, ...]
    known: frozenset[str]
    tool_version: str

    @property
    def table(self) -> Table:
        """The table, in the state that the commit is planned for."""
        return self.files.table

    def make(self, number: int) -> None:
        """Commit; if another writer committed first, the caller may plan the commit again.

        Args:
            number: Which attempt it is.

        Raises:
            LakeError: Another run added rows that conflict with these, or has relocated the table;
                or a new data file is gone from the object store.
            OvertakenError: Another writer committed first.
        """
        self._refuse_relocated()
        removal = self._removal(number)
        change = TableChange((*self.written, *removal.added), removal.removed)
        if not change.added and not change.removed:
            return
        self.catalog.make_durable(change.added)
        refuse_gone(self.table, change.added)
        try:
            commit_change(
                self.table, change, commit=self.commit, tool_version=self.tool_version,
                purpose=self.catalog.purpose, agrees=self._agrees_with(removal),
            )  # fmt: skip
        except OvertakenError:
            for file in removal.added:
                self.table.io.delete(file.file_path)
            raise

    def _refuse_relocated(self) -> None:
        root = f"{data_root(self.table)}/"
        if not all(file.file_path.startswith(root) for file in self.written):
            reason = (
                f"`{'.'.join(self.table.name())}` was relocated while its new data files were "
                "written, and nothing was committed; run the command again"
            )
            raise LakeError(str(self.catalog.place), reason)

    def _removal(self, number: int) -> TableChange:
        gone = {archive.key: archive for archive in self.replaced}
        if self.catalog.is_shared:
            # A run that was killed on another machine may have left rows without provenance.
            gone |= {archive.key: archive for archive in self.added}
            self._refuse_rivals(frozenset(gone))
        return plan_removal(self.files.named(number), gone.values(), self.damaged)

    @property
    def _unread(self) -> frozenset[str]:
        return frozenset(file.file_path for file in self.damaged)

    def _rivals(self) -> Iterator[Archive]:
        return (rival for archive in self.added for rival in overlapping(archive))

    def _refuse_rivals(self, gone: frozenset[str]) -> None:
        rivals = (rival for rival in self._rivals() if rival.key not in gone)
        found = files_holding(self.table, rivals, self._unread)
        for _, held in chain(found, self._new_excerpts(self.table)):
            reason = (
                f"another run added `{min(held)}` to `{'.'.join(self.table.name())}` at the same "
                "time, so nothing was committed: run the command again (if the other run was "
                "killed on another machine, run it there first)"
            )
            raise LakeError(str(self.catalog.place), reason)

    def _new_excerpts(self, table: Table) -> Iterator[tuple[DataFile, frozenset[str]]]:
        """The data files with rows of excerpts that were not known, and are not in this commit."""
        near = keys_of_excerpts(self.added, self.known)
        expected = self.known | {each.key for each in (*self.added, *self.replaced)}
        for file in live_files(table):
            bounds = bounds_of_archives(table, file)
            if file.file_path in self._unread or (bounds and not near.meets(*bounds)):
                continue
            held = frozenset(key for key in archives_in(table, file) - expected if key in near)
            if held:
                yield file, held

    def _agrees_with(self, removal: TableChange) -> Callable[[Table], None]:
        going = {file.file_path for file in removal.removed}

        def agrees(table: Table) -> None:
            found = files_holding(table, self._rivals(), self._unread)
            for file, held in chain(found, self._new_excerpts(table)):
                if file.file_path not in going:
                    reason = f"another run added `{min(held)}` at the same time"
                    raise OvertakenError(table.location(), reason)

        return agrees
