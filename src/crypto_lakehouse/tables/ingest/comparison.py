"""Compares rows that are said to be the same: those of two archives, or of two versions of one.

It knows nothing of months and days, or of tables: it compares two frames of rows by their key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl
from attrs import field, frozen

__all__ = ["Comparison", "DifferentValue", "RowComparer"]

#: Values of at most this many rows are listed for each comparison; rows beyond are only counted.
_LISTED_ROWS = 1_000

_NTH = "_nth"


@frozen
class DifferentValue:
    """One value that two archives give differently.

    Attributes:
        key: The row's key, as a JSON object.
        column: The column.
        value: The value that stands, as text; None if it is NULL.
        other_value: The value that gives way, as text; None if it is NULL.
    """

    key: str
    column: str
    value: str | None
    other_value: str | None


@frozen(eq=False)
class Comparison:
    """How new rows differ from those that they are compared with.

    Attributes:
        missing: The new rows whose key the others do not have.
        differing: The new rows whose key the others have, with other values.
        different_keys: The keys of `differing`, each once.
    """

    missing: pl.DataFrame
    differing: pl.DataFrame
    different_keys: pl.DataFrame

    @property
    def is_equal(self) -> bool:
        """Whether the others have all of the new rows."""
        return self.missing.is_empty() and self.differing.is_empty()


@frozen
class RowComparer:
    """Compares the rows of one table.

    Attributes:
        columns: The columns to compare.
        key: The columns that identify a row; None if rows have no unique key. Whole rows are
            compared then, and a row that occurs twice differs from one that occurs once.
    """

    columns: tuple[str, ...]
    key: tuple[str, ...] | None
    _joined: tuple[str, ...] = field(init=False)

    @_joined.default
    def _join_columns(self) -> tuple[str, ...]:
        return (*self.columns, _NTH)

    def compare(self, rows: pl.DataFrame, others: pl.DataFrame) -> Comparison:
        """Compare all rows of a key at once: those of a repeated key must be the same ones."""
        none = rows.clear()
        keys = none.select(self.key or ())
        columns = self.columns
        if rows.height == others.height and rows.select(columns).equals(others.select(columns)):
            return Comparison(none, none, keys)
        if others.is_empty():
            return Comparison(rows, none, keys)
        mine, theirs = self._counted(rows), self._counted(others)
        only_mine = _without(mine, theirs, self._joined)
        if self.key is None:
            return Comparison(only_mine.drop(_NTH), none, keys)
        key = list(self.key)
        only_theirs = _with(_without(theirs, mine, self._joined), rows, key)
        odd = pl.concat([only_mine.select(key), only_theirs.select(key)]).unique()
        if odd.is_empty():
            return Comparison(none, none, keys)
        stands = _with(rows, odd, key)
        return Comparison(
            missing=_without(stands, others, key),
            differing=_with(stands, others, key),
            different_keys=_with(odd, others, key),
        )

    def compare_known(self, rows: pl.DataFrame, others: pl.DataFrame) -> Comparison:
        """Compare rows of a recording; what the exchange did not send of them is no difference.

        In `differing` such values are those of the others.

        Args:
            rows: The rows, of which each key is there once.
            others: The rows to compare with, whose key must not be None.
        """
        key = list(self.key or self.columns)
        missing = _without(rows, others, key)
        there = _with(rows, others, key)
        sent = [name for name in self.columns if name not in key and there[name].has_nulls()]
        if sent:
            known = others.select(*key, *sent).unique(key, keep="first")
            there = there.join(
                known, on=key, how="left", suffix="_other", nulls_equal=True, maintain_order="left"
            ).with_columns(pl.coalesce(name, f"{name}_other").alias(name) for name in sent)
            there = there.select(rows.columns)
        differing = _without(there, others, self.columns)
        return Comparison(missing, differing, differing.select(key))

    def without_keys(self, rows: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows whose key is none of these."""
        return rows if keys.is_empty() else _without(rows, keys, keys.columns)

    def absent(self, rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
        """The rows whose key the others do not have."""
        if self.key is None:
            return _without(self._counted(rows), self._counted(others), self._joined).drop(_NTH)
        return _without(rows, others, self.key)

    def different_values(
        self, differing: pl.DataFrame, others: pl.DataFrame
    ) -> Iterator[DifferentValue]:
        """List the values in which rows differ from the rows of the same keys.

        At most 1,000 rows are listed.
        """
        if self.key is None or differing.is_empty():
            return
        key = list(self.key)
        pairs = self._paired(differing.head(_LISTED_ROWS), key).join(
            self._paired(others, key),
            on=[*key, _NTH], suffix="_other", nulls_equal=True, maintain_order="left",
        )  # fmt: skip
        values = [name for name in self.columns if name not in key]
        for row in pairs.iter_rows(named=True):
            for name in values:
                value, other = row[name], row[f"{name}_other"]
                if value != other:
                    shown = json.dumps({each: _plain(row[each]) for each in key})
                    yield DifferentValue(shown, name, _text(value), _text(other))

    def _counted(self, rows: pl.DataFrame) -> pl.DataFrame:
        nth = pl.int_range(pl.len()).over(self.columns).alias(_NTH)
        return rows.with_columns(nth)

    def _paired(self, rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
        return rows.select(self.columns).with_columns(pl.int_range(pl.len()).over(key).alias(_NTH))


def _with(rows: pl.DataFrame, others: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    return rows.join(others, on=list(on), how="semi", nulls_equal=True, maintain_order="left")


def _without(rows: pl.DataFrame, others: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    return rows.join(others, on=list(on), how="anti", nulls_equal=True, maintain_order="left")


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | str) else _text(value)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
