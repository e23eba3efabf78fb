"""Read the rows of an answer, and refuse what cannot be right, with its place.

Only what paging and proofs need is returned; the text of the answer is what is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from attrs import frozen

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.messages import plural, shown

__all__ = ["Faulty", "Row", "Shape", "shape_of"]

#: Times from here on are microseconds, below it milliseconds.
_MICROSECONDS_FROM = 10**14

_DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)

Name = str | int


class Faulty(ValueError):
    """An answer is damaged; the message says where and how."""


class Row(NamedTuple):
    """What is needed of a row.

    Attributes:
        key: The id of an aggTrade; of all others the time.
        time_us: When it happened, or opened, in microseconds.
        end_us: The last microsecond of a bar; of all others the time.
    """

    key: int
    time_us: int
    end_us: int


@frozen(kw_only=True)
class Shape:
    """The form of an endpoint's rows.

    Attributes:
        width: The number of fields of a row that is a list; 0 if it is an object.
        key: The field that tells rows apart, and by which they ascend.
        time, end: The field of the time, and that of a bar's end.
        whole: Further fields that are whole numbers.
        decimals: Fields that are decimals, as text.
        flags: Fields that are true or false.
        names: Fields that must have a given text.
    """

    width: int = 0
    key: Name
    time: Name
    end: Name
    whole: Sequence[Name] = ()
    decimals: Sequence[Name] = ()
    flags: Sequence[Name] = ()
    names: Mapping[str, str] = {}

    def rows(self, body: bytes | str) -> list[Row]:
        """Read an answer.

        Raises:
            Faulty: It is no JSON, a field is missing or of another kind, a number is where a
                decimal is sent as text, time goes back, or two rows have one id.
        """
        try:
            value = parse_finite(body)
        except ValueError as error:  # bytes that are not UTF-8, too
            raise Faulty(f"it is no JSON: {_reason(error)}") from None
        if not isinstance(value, list):
            raise Faulty(f"it is no list of rows, but `{shown(value)}`")
        rows: list[Row] = []
        for number, each in enumerate(value, start=1):
            try:
                row = self._row(each)
                if rows:
                    self._check_order(rows[-1], row)
            except Faulty as fault:
                raise Faulty(f"row {number}: {fault}") from None
            rows.append(row)
        return rows

    def _row(self, value: Any) -> Row:
        kind = list if self.width else dict
        if not isinstance(value, kind):
            raise Faulty(f"it is `{shown(value)}`, and no row")
        if self.width and len(value) != self.width:
            raise Faulty(f"it has {plural(len(value), 'field')}, and not {self.width}")
        for name in self.decimals:
            _check(value, name, _is_decimal, "a decimal as text")
        for name in self.flags:
            _check(value, name, _is_flag, "true or false")
        for name in self.whole:
            _check(value, name, _is_whole, "a whole number")
        for label, text in self.names.items():
            _check(value, label, text.__eq__, f"`{shown(text)}`")
        key, time, end = (
            _check(value, name, _is_whole, "a whole number")
            for name in (self.key, self.time, self.end)
        )
        time_us = _microseconds(time)
        end_us = _microseconds(end) + (0 if end >= _MICROSECONDS_FROM else 999)
        if end_us < time_us:
            raise Faulty(f"it ends at {end}, before it begins at {time}")
        return Row(time_us if self.key == self.time else key, time_us, end_us)

    def _check_order(self, before: Row, row: Row) -> None:
        if row.time_us < before.time_us:
            raise Faulty(f"its time is {row.time_us}, before that of the row before it")
        if row.key == before.key:
            raise Faulty(f"two rows have the id {row.key}")
        if row.key < before.key:
            raise Faulty(f"its id is {row.key}, less than that of the row before it")


def _check(row: Any, name: Name, is_right: Callable[[Any], bool], wanted: str) -> Any:
    """Return a field.

    Raises:
        Faulty: It is missing, or not right.
    """
    if isinstance(name, str) and name not in row:
        raise Faulty(f"the field `{name}` is missing")
    value = row[name]
    if is_right(value) is not True:
        field = f"`{name}`" if isinstance(name, str) else f"{name + 1}"
        raise Faulty(f"the field {field} is {shown(json.dumps(value))}, and not {wanted}")
    return value


def _is_decimal(value: Any) -> bool:
    return isinstance(value, str) and _DECIMAL.fullmatch(value) is not None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _microseconds(time: int) -> int:
    return time if time >= _MICROSECONDS_FROM else time * 1000


def _reason(error: ValueError) -> str:
    return shown(str(error).partition("\n")[0])


_BARS = Shape(width=12, key=0, time=0, end=6, whole=(8,), decimals=(1, 2, 3, 4, 5, 7, 9, 10))

_AGG_TRADES = Shape(key="a", time="T", end="T", whole=("f", "l"), decimals=("p", "q"), flags=("m",))

_STATISTICS: Mapping[str, Sequence[str]] = {
    "openInterestHist": ("sumOpenInterest", "sumOpenInterestValue"),
    "topLongShortAccountRatio": ("longShortRatio",),
    "topLongShortPositionRatio": ("longShortRatio",),
    "globalLongShortAccountRatio": ("longShortRatio",),
    "takerlongshortRatio": ("buySellRatio", "buyVol", "sellVol"),
    "takerBuySellVol": ("takerBuyVol", "takerSellVol"),
}


def shape_of(data_type: DataType, path: str, symbol: str) -> Shape:
    """The form of the rows that an endpoint answers for a series' data type."""
    if data_type is DataType.AGG_TRADES:
        return _AGG_TRADES
    if data_type is DataType.FUNDING_RATE:
        return Shape(
            key="fundingTime", time="fundingTime", end="fundingTime",
            decimals=("fundingRate",), names={"symbol": symbol},
        )  # fmt: skip
    if data_type is DataType.METRICS:
        decimals = _STATISTICS[path.rpartition("/")[2]]
        return Shape(key="timestamp", time="timestamp", end="timestamp", decimals=decimals)
    return _BARS
