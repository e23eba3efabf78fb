"""The column `origin` of scans and views: where each row comes from, by the key of its archive.

Tables do not store it: it follows from the first folder of `archive`. Where the bounds of the data
files show that all rows are of published archives, no key is read for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.messages import allowed_values
from crypto_lakehouse.core.origin import Origin

__all__ = [
    "ORIGIN",
    "arrow_filter",
    "arrow_origin",
    "chosen_origins",
    "has_archives_only",
    "has_origin",
    "may_have",
    "polars_filter",
    "polars_origin",
    "sql_filter",
    "sql_origin",
    "with_origin",
]

ORIGIN = "origin"

_ARCHIVE = "archive"

#: The origins other than archives, each with the beginning of its keys.
_OTHERS = {each: f"{each.folder}/" for each in Origin if each is not Origin.ARCHIVE}


def chosen_origins(table: str, wanted: Iterable[str] | str | None) -> tuple[Origin, ...] | None:
    """Return the origins of a scan; None for all.

    Raises:
        QueryError: One of them is unknown.
    """
    if wanted is None:
        return None
    names = [wanted] if isinstance(wanted, str) else [*wanted]
    known = [str(each) for each in Origin]
    unknown = [name for name in names if name not in known]
    if unknown:
        reason = f"no origin {unknown[0]!r}; {allowed_values(unknown[0], known)}"
        raise QueryError(table, reason)
    return tuple(each for each in Origin if each in names)


def has_origin(schema: Schema) -> bool:
    """Whether a table has rows of archives, and no column of this name of its own."""
    names = schema.column_names
    return _ARCHIVE in names and ORIGIN not in names


def with_origin(rows: pa.Table) -> pa.Table:
    """A table without rows, with the column."""
    return rows.append_column(ORIGIN, pa.array([], pa.string()))


def has_archives_only(table: Table, files: Iterable[DataFile]) -> bool:
    """Whether the bounds of data files show that all rows are of published archives."""
    return all(may_have(table, file) == {Origin.ARCHIVE} for file in files)


def may_have(table: Table, file: DataFile) -> frozenset[Origin]:
    """The origins of which a data file may have rows, by the bounds of its archives' keys."""
    number = table.schema().find_field(_ARCHIVE).field_id
    low, high = (file.lower_bounds or {}).get(number), (file.upper_bounds or {}).get(number)
    if low is None or high is None:
        return frozenset(Origin)
    # Bounds may be cut off; the folder at their beginning is not.
    return frozenset(
        each
        for each in Origin
        if low[: len(each.folder)] <= each.folder.encode() <= high[: len(each.folder)]
    )


def polars_origin() -> pl.Expr:
    """The column, in Polars."""
    column = pl.lit(str(Origin.ARCHIVE))
    for origin, begin in _OTHERS.items():
        is_of_it = pl.col(_ARCHIVE).cast(pl.String).str.starts_with(begin)
        column = pl.when(is_of_it).then(pl.lit(str(origin))).otherwise(column)
    return column.alias(ORIGIN)


def arrow_origin() -> ds.Expression:
    """The column, in Arrow."""
    column = pc.scalar(str(Origin.ARCHIVE))
    for origin, begin in _OTHERS.items():
        is_of_it = pc.starts_with(ds.field(_ARCHIVE), begin)
        column = pc.if_else(is_of_it, pc.scalar(str(origin)), column)
    return column


def sql_origin() -> str:
    """The column, in SQL."""
    cases = " ".join(
        f"WHEN starts_with({_ARCHIVE}, '{begin}') THEN '{origin}'"
        for origin, begin in _OTHERS.items()
    )
    return f"CASE {cases} ELSE '{Origin.ARCHIVE}' END AS \"{ORIGIN}\""


def polars_filter(origins: Sequence[Origin]) -> pl.Expr:
    """The rows of some origins, in Polars."""
    return polars_origin().is_in([str(each) for each in origins])


def arrow_filter(origins: Sequence[Origin]) -> ds.Expression:
    """The rows of some origins, in Arrow."""
    return arrow_origin().isin(pa.array([str(each) for each in origins], pa.string()))


def sql_filter(origins: Sequence[Origin]) -> str:
    """The rows of some origins, in SQL."""
    column = sql_origin().rpartition(" AS ")[0]
    listed = ", ".join(f"'{each}'" for each in origins) or "NULL"
    return f"{column} IN ({listed})"
