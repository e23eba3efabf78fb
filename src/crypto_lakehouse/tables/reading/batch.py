"""The values that the reader, the checks and the writer exchange."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, Origin, Series
from crypto_lakehouse.core.file_identity import FileIdentity, OpenedVersion, StoredFiles
from crypto_lakehouse.tables.reading.fill_requests import FillRequests
from crypto_lakehouse.tables.schema.schemas import TableSchema

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Batch", "CsvForm", "Piece", "Source"]


@frozen
class Source:
    """An archive in a store.

    Attributes:
        archive: Its identity.
        files: Where its zip is.
        sha256: Its digest, 64 hexadecimal digits; empty if it was not computed.
        identity: Of the version that has this digest; any other one is not read. None reads
            whatever is there.
        keys: Of an excerpt, the smallest and the largest value of the first column of its table's
            key; None if they are not known.
        excerpt_bytes: Of an excerpt, the bytes of its text, compressed; 0 if they are not known.
    """

    archive: Archive
    files: StoredFiles = field(eq=False, repr=False)
    sha256: str = ""
    identity: FileIdentity | None = None
    keys: tuple[Any, Any] | None = None
    excerpt_bytes: int = 0

    @property
    def series(self) -> Series:
        """The series of the archive."""
        return self.archive.series

    @property
    def place(self) -> str:
        """The path or the URL of its zip."""
        return self.files.place(self.archive.key)

    @property
    def size_bytes(self) -> int:
        """The size of its zip; 0 if there is none."""
        if self.archive.origin is Origin.LIVE:
            return self.excerpt_bytes
        now = self.identity or self.files.identity(self.archive.key)
        return 0 if now is None else now.size_bytes

    def open(self) -> AbstractContextManager[OpenedVersion]:
        """Open its zip, in whatever version it is; the errors are those of `files`."""
        return self.files.open(self.archive.key, self.identity)


@frozen
class CsvForm:
    """The form of a CSV file, detected from its contents.

    Attributes:
        columns: Published names, in the file's order.
        header: Whether line 1 is a header.
        time_unit: `ms` or `us`; `text` for types whose times are text.
        proven_by: What proves the rows of a segment, as its header says; empty for archives.
        requests: Those of a fill, once it is read; None of others.
    """

    columns: tuple[str, ...]
    header: bool
    time_unit: str
    proven_by: str = ""
    requests: FillRequests | None = field(default=None, eq=False)


@frozen
class Piece:
    """The part of one archive that a batch holds.

    Attributes:
        source: The archive.
        form: The form of its file.
        rows: How many of its rows are in this batch; they are consecutive.
        begins: Whether the first of them is the file's first row.
        ends: Whether the last of them is the file's last row.
        first_line: The line number of the first of them in the file, counted from 1.
    """

    source: Source
    form: CsvForm
    rows: int
    begins: bool
    ends: bool
    first_line: int


@frozen(eq=False)
class Batch:
    """Rows of one table, from a part of one archive or from several whole ones.

    Attributes:
        schema: The table.
        pieces: The archives of the rows, in order.
        frame: The rows in the order of the files. Columns have their table names; fillers are
            included, `ignore` and columns that repeat the archive's symbol are not. Times are
            `Datetime("us", "UTC")`, flags Boolean, ids and counts Int64, numbers Float64, or
            Decimal(38, 18) where exact.
    """

    schema: TableSchema
    pieces: tuple[Piece, ...]
    frame: pl.DataFrame
