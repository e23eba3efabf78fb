"""A panel: columns of several tables on one grid of times, with a matrix of symbols for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
from attrs import frozen

from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.messages import existing_values, plural, with_nearest
from crypto_lakehouse.tables.lake.pandas_frames import import_pandas, pandas_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Panel"]

#: The column that returns have.
_RETURNS = "returns"


@frozen(eq=False, repr=False)
class Panel:
    """Values that were known at each time of a grid, for each symbol; NULL where nothing was.

    `Lake.panel` makes it.

    Attributes:
        times: The grid, UTC.
        values: For each label a frame with a row for each time and a column for each symbol.
    """

    times: pl.Series
    values: Mapping[str, pl.DataFrame]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the columns, as they were given."""
        return tuple(self.values)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, sorted."""
        return tuple(next(iter(self.values.values())).columns)

    def __repr__(self) -> str:
        size = f"{', '.join(self.labels)}: {plural(len(self.symbols), 'symbol', form=',')}"
        count = plural(len(self.times), "time", form=",")
        return f"<Panel of {size}, {self.times[0]} to {self.times[-1]}, {count}>"

    def polars(self, label: str | None = None) -> pl.DataFrame:
        """The values as a Polars frame.

        Args:
            label: The column, for a matrix of it: `time`, and a column for each symbol. By default
                all of them, with a row for each symbol and time: `symbol`, `time`, and the labels,
                in order of these two.

        Raises:
            QueryError: The panel has no such label.
        """
        if label is not None:
            return self._of(label).select(self.times, pl.all())
        count = len(self.times)
        symbols = pl.Series("symbol", self.symbols, dtype=pl.String)
        columns = [
            symbols.gather(pl.int_range(len(symbols) * count, eager=True) // count),
            pl.concat([self.times] * len(symbols)),
        ]
        columns += [
            pl.concat([frame[each] for each in self.symbols]).alias(name)
            for name, frame in self.values.items()
        ]
        return pl.DataFrame(columns)

    def pandas(self, label: str | None = None) -> pd.DataFrame:
        """The values as a pandas frame, with the times as its index, and types as `Scan.pandas`.

        Args:
            label: The column, for a matrix of it with a column for each symbol. By default all of
                them, with a column for each label and symbol.

        Raises:
            ExtraMissing: The extra `pandas` is not installed.
            QueryError: The panel has no such label.
        """
        module = import_pandas()
        if label is not None:
            frame = _pandas_of(self._of(label))
            frame.columns.name = "symbol"
        else:
            frames = {name: _pandas_of(each) for name, each in self.values.items()}
            frame = module.concat(frames, axis="columns", names=["label", "symbol"])
        frame.index = _pandas_of(self.times.to_frame())["time"].array
        frame.index.name = "time"
        return frame

    def returns(self, label: str, *, periods: int = 1, log: bool = False) -> Panel:
        """The change of a column from time to time, as a panel with the label `returns`.

        It is NULL where one of the two values is NULL, so never across a gap, and where the earlier
        one is 0.

        Args:
            label: The column, which has numbers.
            periods: How many steps of the grid apart the two values are.
            log: Whether to take the logarithm of their ratio, which is NULL unless that is above 0;
                else the ratio less 1.

        Raises:
            QueryError: The panel has no such label, it has no numbers, or `periods` is below 1.
        """
        frame = self._of(label)
        if not all(kind.is_numeric() for kind in frame.dtypes):
            raise QueryError("panel", f"`{label}` has no numbers, and so no returns")
        if periods < 1:
            raise QueryError("panel", f"`periods` is {periods}, and must be at least 1")
        columns = []
        for value in frame.cast(pl.Float64).iter_columns():
            before = value.shift(periods)
            ratio = (value / before).set(before == 0, None)
            columns.append(ratio.set(ratio <= 0, None).log() if log else ratio - 1)
        made = pl.DataFrame(columns)
        return Panel(self.times, {_RETURNS: made})

    def _of(self, label: str) -> pl.DataFrame:
        if label not in self.values:
            there = existing_values(self.labels, "columns")
            raise QueryError("panel", f"no column {with_nearest(label, self.labels)}; {there}")
        return self.values[label]


def _pandas_of(frame: pl.DataFrame) -> pd.DataFrame:
    rows = frame.to_arrow()
    kinds = [pa.string() if kind == pl.String else each.type
             for each, kind in zip(rows.schema, frame.dtypes, strict=True)]  # fmt: skip
    schema = pa.schema([pa.field(*each) for each in zip(rows.column_names, kinds, strict=True)])
    return pandas_frame(rows, schema)
