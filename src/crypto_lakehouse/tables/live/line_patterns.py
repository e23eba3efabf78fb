"""Reads lines of a segment many at a time, by a pattern that is learned from one of them.

Messages of a kind have the same fields in the same order, for years. Once one has been read
strictly, a regular expression is made of it that is as strict: it matches lines with these fields
in this order, each of the type that it must have. Lines that it does not match are read one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import polars as pl
from attrs import define, field

from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_lines import LiveMessage
from crypto_lakehouse.segments.live_segment import LiveHeader
from crypto_lakehouse.tables.live.live_columns import LINE, LiveColumns
from crypto_lakehouse.tables.schema.received import RECEIVED_AT

__all__ = ["LinePatterns", "ManyRows"]

#: For each kind that comes often, the fields of its columns in the order of the table, those of `k`
#: inside of it. A market may lack the last ones.
_FIELDS: Mapping[StreamKind, tuple[str, ...]] = {
    StreamKind.AGG_TRADE: ("a", "p", "q", "f", "l", "T", "m", "M"),
    StreamKind.TRADE: ("t", "p", "q", "T", "m", "M"),
    StreamKind.BOOK_TICKER: ("u", "b", "B", "a", "A", "T", "E"),
    StreamKind.KLINE: tuple(f"k.{name}" for name in "tohlcvTqnVQ"),
}

_STREAM, _SYMBOL, _INTERVAL = "_stream", "_symbol", "_interval"
_OF_BAR, _INTERVAL_OF_BAR, _IS_CLOSED = "_of_bar", "_interval_of_bar", "_is_closed"

#: Fields that are no columns.
_OTHERS = {"s": _SYMBOL}
_OTHERS_OF_BARS = {
    "s": _SYMBOL, "k.s": _OF_BAR, "k.i": _INTERVAL_OF_BAR, "k.x": _IS_CLOSED,
}  # fmt: skip

_TEXT = r'[^"\\\x00-\x1f]+'
_WHOLE = r"(?:0|[1-9][0-9]{0,17})"
_VALUES = {
    "id": _WHOLE,
    "count": _WHOLE,
    "number": r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?",
    "time": r"[1-9][0-9]{11,16}",
    "flag": "true|false",
}

#: What a field that is not read may be.
_ANY = rf'(?:"[^"\\\x00-\x1f]*"|-?{_WHOLE}|true|false|null)'

_NAME = re.compile(r"\w{1,20}", re.ASCII)

#: Below this, a time is in milliseconds.
_MICROSECONDS = 10**14

#: So many orders of fields are learned.
_MOST_PATTERNS = 4

#: The number of a row's series in the split.
SERIES = "_series"


class ManyRows(NamedTuple):
    """What was read of some lines.

    Attributes:
        frame: The rows: the columns of the table, `SERIES` and `LINE`.
        others: The places of the lines that were not read, in order.
        last_us: The latest time at which one of those that were read was received; 0 if none was.
    """

    frame: pl.DataFrame | None
    others: list[int]
    last_us: int


@define
class LinePatterns:
    """The patterns of one segment.

    Args:
        header: The segment's.
        columns: Those of its table.
        number_of: Returns the number of a series, by the symbol and the interval of its stream and
            the symbol of a message; None if these do not fit.
    """

    header: LiveHeader
    columns: LiveColumns
    number_of: Callable[[str, str, str], int | None]
    _patterns: dict[str, None] = field(init=False, factory=dict)
    _fields: Mapping[str, str] = field(init=False)
    _kinds: Mapping[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._kinds = {column.name: column.kind for column in self.columns.columns}
        streamed = [column.name for column in self.columns.columns if column.streamed]
        streamed.remove(RECEIVED_AT)
        self._fields = dict(zip(_FIELDS.get(self.header.kind, ()), streamed, strict=False))

    @property
    def is_known(self) -> bool:
        """Whether there is a pattern."""
        return bool(self._patterns)

    @property
    def can_learn(self) -> bool:
        """Whether another pattern may be learned."""
        return bool(self._fields) and len(self._patterns) < _MOST_PATTERNS

    def learn(self, message: LiveMessage) -> None:
        """Make a pattern of a message that was read."""
        value = json.loads(message.body)
        if message.connection == 0 or list(value) != ["stream", "data"]:
            return
        others = _OTHERS_OF_BARS if self.header.kind is StreamKind.KLINE else _OTHERS
        wanted = {*self._fields, *others}
        try:
            body = "".join(self._parts(value["data"], "", wanted, others))
        except _CannotLearnError:
            return
        if not wanted:
            kind = self.header.kind
            interval = rf"_(?<{_INTERVAL}>{_TEXT})" if kind is StreamKind.KLINE else ""
            stream = rf'"stream":"(?<{_STREAM}>[^"\\@\x00-\x1f]+)@{kind}{interval}"'
            pattern = (
                rf"^\[(?<{RECEIVED_AT}>[1-9][0-9]{{14,16}}),[1-9][0-9]{{0,17}},"
                rf'\{{{stream},"data":{body}\}}\]$'
            )
            self._patterns[pattern] = None

    def _parts(
        self, data: Any, prefix: str, wanted: set[str], others: Mapping[str, str]
    ) -> Iterator[str]:
        """Yield the pattern of an object, and take what it has from `wanted`."""
        separator = r"\{"
        for name, value in data.items():
            path = prefix + name
            if not _NAME.fullmatch(name):
                raise _CannotLearnError
            yield f'{separator}"{name}":'
            separator = ","
            wanted.discard(path)
            if path in self._fields:
                column = self._fields[path]
                kind = self._kinds[column]
                quote = '"' if kind == "number" else ""
                yield f"{quote}(?<{column}>{_VALUES[kind]}){quote}"
            elif path == "k.x":
                yield f"(?<{_IS_CLOSED}>true|false)"
            elif path in others:
                yield f'"(?<{others[path]}>{_TEXT})"'
            elif path == "e":
                yield re.escape(json.dumps(value))
            elif path == "k" and isinstance(value, dict):
                yield from self._parts(value, "k.", wanted, others)
            elif isinstance(value, dict | list):
                raise _CannotLearnError
            else:
                yield _ANY
        yield r"\}"

    def read(self, lines: list[str], first: int) -> ManyRows:
        """Read lines that follow one another.

        Args:
            lines: The lines, without their ends.
            first: The number of the first one, counted from 1.
        """
        left = pl.DataFrame({"text": lines}).with_row_index(LINE, first)
        frames, last_us = [], 0
        for pattern in self._patterns:
            found = left.select(LINE, pl.col("text").str.extract_groups(pattern)).unnest("text")
            rows = self._rows(found.drop_nulls(RECEIVED_AT))
            if rows.height:
                last_us = max(last_us, rows[RECEIVED_AT].max())  # type: ignore[type-var, assignment]
                frames.append(self._closed(rows))
                if rows.height == left.height:
                    return ManyRows(pl.concat(frames), [], last_us)
                left = left.join(rows.select(LINE), on=LINE, how="anti", maintain_order="left")
        others = (left[LINE] - first).to_list()
        return ManyRows(pl.concat(frames) if frames else None, others, last_us)

    def _rows(self, found: pl.DataFrame) -> pl.DataFrame:
        """Make rows of texts that match; those of no series are left out."""
        made = [
            self._value(name).alias(name) if name in found.columns else pl.lit(None).alias(name)
            for name in self.columns.names
        ]
        rows = found.with_columns(made).with_columns(pl.col(LINE).cast(pl.Int64))
        checks = []
        if self.header.kind is StreamKind.KLINE:
            checks = [
                pl.col(_OF_BAR) == pl.col(_SYMBOL),
                (pl.col(_INTERVAL) == pl.col(_INTERVAL_OF_BAR)) | (pl.col(_IS_CLOSED) == "false"),
            ]
        if self.header.kind is StreamKind.TRADE:
            checks = [pl.col("qty").str.strip_chars("0.") != ""]
        rows = rows.filter(*checks)
        place = [_STREAM, _INTERVAL, _SYMBOL]
        if self.header.kind is not StreamKind.KLINE:
            rows = rows.with_columns(pl.lit("").alias(_INTERVAL))
        places = rows.select(place).unique()
        numbers = [self.number_of(*each) for each in places.iter_rows()]
        places = places.with_columns(pl.Series(SERIES, numbers, pl.Int64))
        return rows.join(places, on=place, how="left", maintain_order="left").drop_nulls(SERIES)

    def _value(self, name: str) -> pl.Expr:
        value, kind = pl.col(name), self._kinds[name]
        if kind in {"id", "count"} or name == RECEIVED_AT:
            return value.cast(pl.Int64)
        if kind == "time":
            time = value.cast(pl.Int64)
            return pl.when(time < _MICROSECONDS).then(time * 1000).otherwise(time)
        return value == "true" if kind == "flag" else value

    def _closed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that are in tables: of bars, the finished ones."""
        if self.header.kind is StreamKind.KLINE:
            rows = rows.filter(pl.col(_IS_CLOSED) == "true")
        types = self.columns.types
        return rows.select(
            SERIES, *(pl.col(name).cast(types[name]) for name in self.columns.names), LINE
        )


class _CannotLearnError(Exception):
    """A message has a form that no pattern is made of."""
