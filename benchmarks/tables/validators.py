"""What validation libraries would cost: eight rules of bars, on plain Polars and on two of them.

    pip install 'pandera[polars]' dataframely && python -m benchmarks.tables.validators

Every contestant says how many rows break each rule. What rules over frames cannot say (steps from
one archive to the next, periods, known holes) is left out for all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import polars as pl

__all__ = ["main"]

_STEP_US = 60_000_000
_STEPS = pl.col("open_time").diff()
_RULES = {
    "high": pl.col("high") >= pl.max_horizontal("open", "close", "low"),
    "low": pl.col("low") <= pl.min_horizontal("open", "close"),
    "aligned": pl.col("open_time") % _STEP_US == 0,
    "taker": pl.col("taker_buy_volume").is_between(0, pl.col("volume")),
    "empty": (pl.col("count") > 0) | (pl.col("volume") == 0),
    "positive": pl.col("low") > 0,
    "order": _STEPS.fill_null(1) > 0,
    "continuity": _STEPS.fill_null(_STEP_US) == _STEP_US,
}


def _bars(rows: int) -> pl.DataFrame:
    chance = np.random.default_rng(1)
    close = 100 + np.cumsum(chance.normal(0, 0.01, rows))
    first = np.r_[100.0, close[:-1]]
    volume = chance.random(rows) * 100
    return pl.DataFrame(
        {
            "open_time": np.arange(rows) * _STEP_US,
            "open": first,
            "high": np.maximum(first, close) + 0.01,
            "low": np.minimum(first, close) - 0.01,
            "close": close,
            "volume": volume,
            "taker_buy_volume": volume / 2,
            "count": chance.integers(1, 100, rows),
        }
    )


def _with_polars() -> Callable[[pl.DataFrame], object]:
    broken = [(~rule).sum().alias(name) for name, rule in _RULES.items()]
    return lambda bars: bars.select(broken).row(0)


def _with_pandera() -> Callable[[pl.DataFrame], object]:
    pandera: Any = import_module("pandera.polars")

    def check(name: str, rule: pl.Expr) -> object:
        return pandera.Check(lambda data: data.lazyframe.select(rule), name=name)

    columns = {name: pandera.Column(kind) for name, kind in _bars(2).schema.items()}
    checks = [check(name, rule) for name, rule in _RULES.items()]
    schema = pandera.DataFrameSchema(columns, checks=checks)
    return lambda bars: schema.validate(bars, lazy=True)


def _with_dataframely() -> Callable[[pl.DataFrame], object]:
    dy: Any = import_module("dataframely")

    def rule(name: str, of: pl.Expr) -> object:
        def check(_schema: object) -> pl.Expr:
            return of

        check.__name__ = name
        return dy.rule()(check)

    kinds: dict[Any, Any] = {pl.Int64: dy.Int64, pl.Float64: dy.Float64}
    columns = {name: kinds[type(kind)](nullable=True) for name, kind in _bars(2).schema.items()}
    rules = {f"is_{name}": rule(f"is_{name}", of) for name, of in _RULES.items()}
    schema: Any = type("Bars", (dy.Schema,), {**columns, **rules})
    return lambda bars: schema.filter(bars)[1].counts()


def main(rounds: int = 9) -> None:
    """Check frames of three sizes, contestants in turn, and print medians."""
    contestants = {
        "Polars": _with_polars(),
        "pandera": _with_pandera(),
        "dataframely": _with_dataframely(),
    }
    for rows in (24, 44_640, 2_000_000):
        bars = _bars(rows)
        seen: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds + 1):
            for name, check in contestants.items():
                begin = time.perf_counter()
                check(bars)
                seen[name].append(1000 * (time.perf_counter() - begin))
        told = (f"{name} {statistics.median(times[1:]):.2f} ms" for name, times in seen.items())
        print(f"{rows:>9,} rows: {', '.join(told)}")


if __name__ == "__main__":
    main()
