"""The end of an ingestion: what it wrote takes the place of what it replaces, once and for all.

A lake's lock keeps other runs out of its own catalog. Into a catalog that machines share others
write at the same time, so there the table itself is looked at before a commit: no archive's rows
may come into it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LakeError, OvertakenError
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.live_files import files_holding
from crypto_lakehouse.tables.ingest.commits import TableChange, commit_change, plan_removal
from crypto_lakehouse.tables.ingest.overlaps import overlapping

__all__ = ["Publication"]

#: How often a commit is made anew for what other writers have made of the table.
_TRIES = 10


@define(kw_only=True)
class Publication:
    """One commit of an ingestion.

    Attributes:
        catalog: The lake's tables.
        table: The table.
        commit: The commit's own name.
        files: Data files with the rows of the archives brought.
        brought: The archives whose rows come.
        replaced: The archives whose rows go.
        layout: How files are written that lose some of their rows.
        tool_version: Noted in the snapshot.
        announce: Told of each file before it is created.
        check: Called between tries; raises to give up.
    """

    catalog: LakeCatalog
    table: Table
    commit: str
    files: tuple[DataFile, ...]
    brought: tuple[Archive, ...]
    replaced: tuple[Archive, ...]
    layout: FileLayout
    tool_version: str
    announce: Callable[[str], None]
    check: Callable[[], None]

    def make(self) -> None:
        """Commit, and begin anew where another writer came first.

        Raises:
            LakeError: Another run has brought in what does not go together with this.
            OvertakenError: Other writers came first every time.
        """
        for number in range(1, _TRIES + 1):
            removal = self._removal(number)
            change = TableChange((*self.files, *removal.added), removal.removed)
            if not change.added and not change.removed:
                return
            self.catalog.make_durable(change.added)
            try:
                commit_change(
                    self.table, change, commit=self.commit, tool_version=self.tool_version,
                    agrees=self._agrees_with(removal),
                )  # fmt: skip
            except OvertakenError:
                if number == _TRIES:
                    raise
                self.check()
                for file in removal.added:
                    self.table.io.delete(file.file_path)
                self.table = self.catalog.catalog.load_table(self.table.name())
            else:
                return

    def _removal(self, number: int) -> TableChange:
        gone = {archive.key: archive for archive in self.replaced}
        if self.catalog.is_shared:
            # Rows of a run that was ended elsewhere are in the table and in no provenance.
            gone |= {archive.key: archive for archive in self.brought}
            self._refuse_rivals(frozenset(gone))
        return plan_removal(
            self.table, gone.values(), stem=f"{self.commit}-{number}", announce=self.announce,
            layout=self.layout,
        )  # fmt: skip

    def _rivals(self) -> Iterator[Archive]:
        return (rival for archive in self.brought for rival in overlapping(archive))

    def _refuse_rivals(self, gone: frozenset[str]) -> None:
        rivals = (rival for rival in self._rivals() if rival.key not in gone)
        for _, held in files_holding(self.table, rivals):
            reason = (
                f"another run has brought `{min(held)}` into `{'.'.join(self.table.name())}` "
                "meanwhile, and nothing of this commit is in the table: run it again (where that "
                "run was ended on another machine, first there)"
            )
            raise LakeError(str(self.catalog.root), reason)

    def _agrees_with(self, removal: TableChange) -> Callable[[Table], None]:
        going = {file.file_path for file in removal.removed}

        def agrees(table: Table) -> None:
            for file, held in files_holding(table, self._rivals()):
                if file.file_path not in going:
                    reason = f"another run has brought `{min(held)}` into it meanwhile"
                    raise OvertakenError(table.location(), reason)

        return agrees
