"""One check of rows, declared, and the checks that many data types share.

A check is a Polars expression that is true on bad rows. Besides the columns of its table it may
use columns that `inspector` adds: `_step` (the length of a bar in microseconds), `_origin` (where
multiples of it begin), `_from` and `_to` (the period of the archive), `_tick` (the archive's time
unit in microseconds), and `_first` (true on the first row of an archive).
"""

from __future__ import annotations

import polars as pl
from attrs import field, frozen

from crypto_lakehouse.tables.quality.findings import Policy, Severity

__all__ = [
    "MINUTE",
    "RowCheck",
    "id_continuity_check",
    "microseconds",
    "not_positive",
    "period_check",
    "positive_check",
    "remainder",
    "residual",
    "step_of_column",
    "time_order_check",
]

#: Microseconds.
MINUTE = 60_000_000

#: No published value but zero is nearer to zero: at least 12 digits behind the point are published,
#: and less is the remainder of a subtraction in binary floating point, such as 5.55e-17.
_LEAST = 1e-12


@frozen(kw_only=True)
class RowCheck:
    """One check of rows.

    Attributes:
        name: The name; checks of several data types may share it.
        severity: How much a finding matters.
        bad: True on bad rows; NULL counts as good.
        weight: How much a bad row counts, for example the rows missing before it; None counts 1.
        sentence: The finding, with `{rows}` for the total weight, `{example}` for the first bad
            row, and alternatives for one row and several, as in `agreeing`.
        policy: What to do about a finding, if nothing else is configured.
        is_hole: Whether it finds absent rows, which an outage of the venue may explain.
        source: Where the defect was reported.
    """

    name: str
    severity: Severity
    bad: pl.Expr = field(eq=False)
    sentence: str
    weight: pl.Expr | None = field(default=None, eq=False)
    policy: Policy = Policy.REPORT
    is_hole: bool = False
    source: str = ""


def microseconds(name: str) -> pl.Expr:
    """A column of times in microseconds since 1970; whole numbers stay as they are."""
    return pl.col(name).cast(pl.Int64)


def step_of_column(name: str) -> pl.Expr:
    """The increase of a column over the previous row; NULL on the first row of an archive."""
    value = microseconds(name)
    return pl.when(~pl.col("_first")).then(value - value.shift(1))


def not_positive(*names: str) -> pl.Expr:
    """Whether one of some prices or quantities is negative, zero, or too near to it."""
    return pl.any_horizontal(pl.col(*names).cast(pl.Float64) < _LEAST)


def residual(*names: str) -> pl.Expr:
    """Whether one of some amounts that may be zero is negative, or too near to zero."""
    amounts = pl.col(*names).cast(pl.Float64)
    return pl.any_horizontal((amounts < _LEAST) & (amounts != 0))


def remainder(*names: str) -> pl.Expr:
    """Whether one of some amounts is too near to zero, and not zero; a negative one is not."""
    amounts = pl.col(*names).cast(pl.Float64)
    return pl.any_horizontal((amounts.abs() < _LEAST) & (amounts != 0))


def positive_check(bad: pl.Expr, sentence: str) -> RowCheck:
    """Values that are negative, or zero where they cannot be."""
    return RowCheck(name="positive", severity=Severity.ERROR, bad=bad, sentence=sentence)


def period_check(time: str, *, end_included: bool = False) -> RowCheck:
    """Times outside the period of the archive."""
    when = microseconds(time)
    after = when > pl.col("_to") if end_included else when >= pl.col("_to")
    return RowCheck(
        name="period",
        severity=Severity.ERROR,
        bad=(when < pl.col("_from")) | after,
        sentence="{rows} row[s] [lies|lie] outside the period in the archive's name, "
        "for example {example}",
    )


def time_order_check(time: str) -> RowCheck:
    """Times that decrease while ids increase."""
    return RowCheck(
        name="time_order",
        severity=Severity.WARNING,
        bad=step_of_column(time) < 0,
        sentence="{rows} row[s] [is|are] earlier than the row before [it|them], in the "
        "order of ids, "
        "for example {example}",
    )


def id_continuity_check(name: str) -> RowCheck:
    """Ids that are missing between two rows."""
    return RowCheck(
        name="id_continuity",
        severity=Severity.WARNING,
        bad=step_of_column(name) > 1,
        weight=step_of_column(name) - 1,
        sentence="{rows} id[s] [is|are] missing, [|the first ]before {example}; single ones are "
        "the venue's own",
        is_hole=True,
        source="binance-public-data#363, #378",
    )
