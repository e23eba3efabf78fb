"""The keys of `WorkflowConfig` that select series and days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.config.days import DAY_FORMS
from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.place_keys import PlaceKeys
from crypto_lakehouse.core.config.values import (
    AUTO,
    DateRange,
    DayOrPeriod,
    Intervals,
    Partitions,
    Symbols,
)

__all__ = ["SelectionKeys"]


@frozen(init=False, kw_only=True)
class SelectionKeys(PlaceKeys):
    """Which series and days are collected."""

    markets: tuple[Market, ...] | None = key(
        tuple[Market, ...],
        None,
        about=About("Markets to collect.", unset="all in the matrix", metavar="LIST"),
    )
    symbols: tuple[str, ...] | Mapping[Market, tuple[str, ...]] | None = key(
        Symbols,
        None,
        about=About(
            'Symbols or globs, such as BTCUSDT,ETHUSDT or {"spot": ["BTC*"]}.',
            more="Globs need a listing or a matrix with symbols. A symbol that the source does not "
            "list at all is an error; see below.",
            unset="required, except with `discovery: listing`, `quote_assets`, `contracts`, or "
            "`only` leveraged tokens or stable pairs",
            options=("-s",),
            metavar="LIST",
        ),
    )
    data_types: tuple[DataType, ...] | None = key(
        tuple[DataType, ...],
        None,
        about=About(
            "Data types to collect, such as klines,trades.",
            form="list of data types",
            unset="all types of the market",
            options=("-t",),
            metavar="LIST",
        ),
    )
    intervals: tuple[str, ...] | Mapping[DataType, tuple[str, ...]] | None = key(
        Intervals,
        None,
        about=About(
            "Intervals of bars, such as 1m,1h,1d.",
            more="`1M` means `1mo`.",
            unset="all intervals of the type",
            options=("-i",),
            metavar="LIST",
        ),
    )
    partitions: str | tuple[Partition, ...] = key(
        Partitions,
        AUTO,
        about=About(
            "Daily or monthly archives; auto uses months that are complete, and days otherwise.",
            metavar="LIST",
        ),
    )
    date_range: DateRange | None = key(
        DateRange,
        None,
        about=About(
            "First and last UTC day.",
            more=f"As {DAY_FORMS}. Words mean the UTC day on which the configuration is read. "
            "Without an end the range goes up to the newest day that is listed or, without a "
            "listing, to yesterday.",
            unset="this or `default_date` is required, except with `discovery: listing`",
            options=("--start", "--end"),
            metavar="DAY",
        ),
    )
    default_date: date | None = key(
        DayOrPeriod,
        None,
        about=About(
            "A UTC day, or all days of a month (2024-01), a year (2024), or until yesterday (7d).",
            more="Several days become the `date_range`, if there is none.",
            options=("--date",),
            metavar="DAY",
        ),
    )
