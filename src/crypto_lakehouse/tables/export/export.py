"""Writes what is selected of a lake as files for another program."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from attrs import define, evolve, field, frozen

from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.errors import ConfigurationError, Problem, QueryError, StoreError
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.core.os_error_hints import exit_code_of, hint_for
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.stores.whole_file import PartFile, part_file, remove_stale_parts
from crypto_lakehouse.tables.export.files import HashingFile, make_folders
from crypto_lakehouse.tables.export.ordered import OutOfOrderError, ordered_batches
from crypto_lakehouse.tables.export.record import ExportedFile, ExportRecord
from crypto_lakehouse.tables.export.targets import Target, target_named
from crypto_lakehouse.tables.export.units import ExportSelection, Selected, Unit, selected_of
from crypto_lakehouse.tables.lake.lake import Lake

_T = TypeVar("_T")

__all__ = ["LOCK", "ExportReport", "export_lake"]

#: The lock of a folder: one export at a time.
LOCK = ".crypto-lakehouse-export.lock"


@frozen(kw_only=True)
class ExportReport:
    """What an export has done.

    Attributes:
        target: What the files are for.
        folder: Where they are.
        written: The files that were written.
        removed: The files of earlier exports that were removed, as the table has no such rows.
        unchanged: How many files were up to date.
        rows: Rows in the files that were written.
        size_bytes: Bytes of the files that were written.
        refused: Series without a file, by the reason.
    """

    target: str
    folder: str
    written: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int
    rows: int
    size_bytes: int
    refused: dict[str, tuple[str, ...]]


def export_lake(
    lake: Lake,
    target: str,
    folder: str | os.PathLike[str],
    selection: ExportSelection | None = None,
    on_file: Callable[[ExportedFile], None] | None = None,
) -> ExportReport:
    """Write what is selected as files for another program; blocking.

    Each table is read at the snapshot that is its newest when the export begins. Rows are read and
    written in batches. A file gets its name once it is complete. A second export into the same
    folder writes only the files whose rows have changed, and removes those of which the tables have
    no rows any more; so does one after a kill.

    Args:
        lake: The lake.
        target: `freqtrade`, `nautilus`, `vectorbt`, `csv` or `parquet`.
        folder: Where the files go; it is made if it is absent.
        selection: What is written; all by default.
        on_file: Called with each file that was written.

    Raises:
        ConfigurationError: The target is unknown; the folder is one of the lake, or of another
            target; or it has a file in the place of one of these that no export has written, or
            that was changed since.
        LakeError: A table cannot be read.
        LockHeldError: Another export writes to the folder.
        QueryError: The lake has no rows of what is selected, or the target has no files for them.
        StoreError: A file cannot be written.
    """
    if is_url(name := os.fspath(folder)):
        reason = f"`{shown(name)}` is a URL; name a directory, and copy it from there"
        raise ConfigurationError([Problem("--to", reason)])
    chosen, root, selection = target_named(target), Path(folder), selection or ExportSelection()
    if root.resolve().is_relative_to(lake.catalog.place.folder.resolve()):
        reason = f"`{shown(name)}` is a folder of the lake itself; name one beside it"
        raise ConfigurationError([Problem("--to", reason)])
    _check_types(chosen, selection)
    selected = selected_of(lake, selection, chosen.data_types, by_period=chosen.by_period)
    paths, refused = _planned(chosen, selected.units)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            output_lock(root / LOCK, "name another folder"),
            ExportRecord.opened(root, target) as record,
        ):
            run = _Run(chosen, selected, root, record, on_file)
            run.write(paths)
    except OSError as error:
        raise _store_error(error, root) from error
    return ExportReport(
        target=target,
        folder=str(root),
        written=tuple(line.path for line in run.written),
        removed=tuple(run.removed),
        unchanged=run.unchanged,
        rows=sum(line.rows for line in run.written),
        size_bytes=sum(line.size_bytes for line in run.written),
        refused={reason: tuple(names) for reason, names in refused.items()},
    )


def _planned(target: Target, units: Iterable[Unit]) -> tuple[dict[str, Unit], dict[str, list[str]]]:
    """The units by the paths of their files, and series without a file by the reason.

    Raises:
        QueryError: There is no file, or two units would have the same.
    """
    refused: dict[str, list[str]] = defaultdict(list)
    paths: dict[str, Unit] = {}
    for unit in units:
        if reason := target.refusal(unit):
            refused[reason].append(unit.name)
        elif (other := paths.setdefault(path := target.path(unit), unit)) is not unit:
            reason = f"`{unit.name}` and `{other.name}` would both be `{path}`; select one of them"
            raise QueryError("export", reason)
    if not paths:
        raise QueryError("export", f"there is no file to write: {'; '.join(refused)}")
    return paths, refused


def _check_types(target: Target, selection: ExportSelection) -> None:
    """Refuse data types that a target has no files for.

    Raises:
        ConfigurationError: One is selected by name.
    """
    allowed = target.data_types
    if allowed is None:
        return
    if absent := [each for each in selection.data_types or () if each not in allowed]:
        reason = f"`{target.name}` has no files for {', '.join(map(shown, absent))}"
        fault = f"{reason}; {allowed_values(absent[0], map(str, allowed))}"
        raise ConfigurationError([Problem("--data-types", fault)])


@frozen
class _Work:
    """A file that is to be there at the end.

    Attributes:
        path: Its path in the folder.
        unit: Its rows.
        source: A digest of what these are.
        measured: What was measured of them.
        form: How the file is written.
    """

    path: str
    unit: Unit
    source: str
    measured: str
    form: str = ""


@define(eq=False)
class _Run:
    """One export into an open folder."""

    target: Target
    selected: Selected
    folder: Path
    record: ExportRecord
    on_file: Callable[[ExportedFile], None] | None
    written: list[ExportedFile] = field(factory=list)
    removed: list[str] = field(factory=list)
    unchanged: int = 0

    def write(self, units: dict[str, Unit]) -> None:
        """Write the files that are not up to date, by their paths.

        Raises:
            ConfigurationError: A file is in the way; nothing is written then.
        """
        gone = self._units_without_rows()
        works = [self._work(path, unit) for path, unit in units.items()]
        forms = self.target.forms({each.unit.name: each.measured for each in works}, units.values())
        works = [evolve(each, form=forms[each.unit.name]) for each in works]
        stale = [each for each in works if not self._is_current(each)]
        self.unchanged = len(works) - len(stale)
        for unit in gone:
            self._remove(unit)
        for work in stale:
            self._in_order(partial(self._write_file, work))
        self.record.settled.update(work.unit.name for work in works)

    def _units_without_rows(self) -> list[str]:
        """The units of the record that are selected, and of which the tables have no rows.

        Raises:
            ConfigurationError: The file of one was changed.
        """
        there = {unit.name for unit in self.selected.units}
        lines = (self.record.newest(unit) for unit in self.record.units if unit not in there)
        gone = [line.unit for line in lines if line and self.selected.covers(line.unit, line.table)]
        for unit in gone:
            self._standing(unit)
        return gone

    def _standing(self, unit: str, path: str = "") -> list[str]:
        """The paths at which a unit has files, but for one.

        Raises:
            ConfigurationError: One was changed.
        """
        lines = (self.record.standing(each) for each in self.record.paths(unit) if each != path)
        return [line.path for line in lines if line is not None and line.unit == unit]

    def _remove(self, unit: str) -> None:
        for path in self._standing(unit):
            make_folders(self.folder, path).unlink()
            self.removed.append(path)
        self.record.forget(unit)

    def _work(self, path: str, unit: Unit) -> _Work:
        self.record.standing(path)
        self._standing(unit.name, path)
        told = (self.target.name, self.target.version, unit.source())
        source = hashlib.sha256(repr(told).encode()).hexdigest()
        newest = self.record.newest(unit.name)
        if newest is not None and newest.source == source:
            return _Work(path, unit, source, newest.measured)
        measured = self._in_order(partial(self._measure, unit))
        return _Work(path, unit, source, measured)

    def _measure(self, unit: Unit, sorts_all: bool) -> str:
        return self.target.measure(unit, self._batches(unit, sorts_all=sorts_all))

    def _is_current(self, work: _Work) -> bool:
        standing, newest = self.record.standing(work.path), self.record.newest(work.unit.name)
        return (
            standing is not None
            and standing is newest
            and (standing.source, standing.form) == (work.source, work.form)
        )

    def _batches(self, unit: Unit, *, sorts_all: bool) -> Iterator[pa.RecordBatch]:
        columns = self.target.columns(unit)
        return ordered_batches(unit.scan, unit.row_key, columns, sorts_all=sorts_all)

    @staticmethod
    def _in_order(work: Callable[[bool], _T]) -> _T:
        """Do work on rows in order; if the files are not in order, again with sorted rows."""
        try:
            return work(False)
        except OutOfOrderError:
            return work(True)

    def _write_file(self, work: _Work, sorts_all: bool) -> None:
        batches = self._batches(work.unit, sorts_all=sorts_all)
        first = next(batches, None)
        if first is None:  # no row is within the times that are selected
            newest = self.record.newest(work.unit.name)
            if newest and self.selected.covers(newest.unit, newest.table):
                self._remove(newest.unit)
            return
        place = make_folders(self.folder, work.path)
        remove_stale_parts(place.parent)
        rows = _Counted(chain([first], batches))
        with part_file(place) as part:
            file = HashingFile(part.file)
            self.target.write(work.unit, work.form, iter(rows), file)
            part.file.flush()
            os.fsync(part.file.fileno())
            line = ExportedFile(
                unit=work.unit.name,
                table=self.selected.identifier(work.unit.name),
                path=work.path,
                source=work.source,
                measured=work.measured,
                form=work.form,
                sha256=file.sha256.hexdigest(),
                size_bytes=file.size,
                mtime_ns=os.fstat(part.file.fileno()).st_mtime_ns,
                rows=rows.count,
            )
            self._name(part, line)

    def _name(self, part: PartFile, line: ExportedFile) -> None:
        """Give a complete file its name, unless the one that has it is the same."""
        before = self.record.standing(line.path)
        if before is not None and before.sha256 == line.sha256:
            self.record.add(evolve(line, mtime_ns=before.mtime_ns))
            self.unchanged += 1
            return
        self.record.add(line)
        # Before the new name: a reader of the folder must not find the rows twice.
        for old in self._standing(line.unit, line.path):
            make_folders(self.folder, old).unlink()
        part.commit()
        self.written.append(line)
        if self.on_file is not None:
            self.on_file(line)


@define(eq=False)
class _Counted:
    """Batches, and how many rows they have."""

    batches: Iterable[pa.RecordBatch]
    count: int = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self.batches:
            self.count += batch.num_rows
            yield batch


def _store_error(error: OSError, folder: Path) -> StoreError:
    reason = error.strerror or str(error)
    hint = hint_for(error, "name another folder")
    text = f"{reason}; {hint}" if hint else reason
    return StoreError(str(error.filename or folder), text, exit_code=exit_code_of(error))
