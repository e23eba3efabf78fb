"""What the tests of the core share: generated archives and short ways to make values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import (
    INTERVALS,
    Archive,
    DataType,
    Market,
    Partition,
    Period,
    Series,
)
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.verdicts import Verdict

KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"
ARCHIVE = Archive.parse(KEY)
NOON = datetime(2025, 7, 15, 12, tzinfo=UTC)
ENVIRONMENT = "CRYPTO_LAKEHOUSE_"

#: The shortest configuration that has no fault.
MINIMAL: Mapping[str, Any] = {
    "output_directory": "out",
    "symbols": ["BTCUSDT"],
    "default_date": "2025-07-15",
}


def read(
    values: Mapping[Any, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    **keys: Any,
) -> WorkflowConfig:
    """A configuration out of the minimal one and what is given, blind to the machine's own."""
    return WorkflowConfig(
        {**MINIMAL, **(values or {}), **keys}, environ=environ or {}, overrides=overrides
    )


def faults(
    values: Mapping[Any, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    **keys: Any,
) -> dict[str, str]:
    """Path and message of every problem of a configuration that must have some."""
    with pytest.raises(ConfigurationError) as refused:
        read(values, environ, overrides, **keys)
    problems: tuple[Problem, ...] = refused.value.problems
    assert problems
    assert len({problem.path for problem in problems}) == len(problems)
    return {problem.path: problem.message for problem in problems}


def totals(planned: int = 0, **verdicts: int) -> dict[str, int]:
    """The totals of a report; verdicts that are not named count zero."""
    return {
        "planned": planned,
        **{verdict: verdicts.pop(verdict, 0) for verdict in Verdict},
        **verdicts,
    }


days = st.dates(date(2017, 1, 1), date(2030, 12, 31))


@st.composite
def periods(draw: st.DrawFn) -> Period:
    """Days, months, and months whose one digit lacks its zero."""
    day = draw(days)
    if draw(st.booleans()):
        return Period.day(day)
    month = Period.month(day)
    unpadded = month.first_day.month <= 9 and draw(st.booleans())
    return Period(month.first_day, Partition.MONTHLY, padded=not unpadded)


published_symbols = st.sampled_from(
    ["BTCUSDT", "BTCUSDT_240628", "CVCUSDTSETTLED", "ICPUSDT_SETTLED", "币安人生USDT", "1INCHBTC"]
)
symbols = published_symbols | st.text(
    st.characters(categories=("Lu", "Ll", "Lo", "Nd"), include_characters="_"),
    min_size=1,
    max_size=30,
).filter(lambda text: unicodedata.is_normalized("NFC", text))


@st.composite
def series(
    draw: st.DrawFn, types: Sequence[DataType] = PUBLISHED_TYPES, markets: Iterable[Market] = Market
) -> Series:
    """Any series that has a key, also of types that its market does not publish."""
    data_type = draw(st.sampled_from(types))
    interval = draw(st.sampled_from(INTERVALS)) if data_type.has_interval else None
    return Series(draw(st.sampled_from(list(markets))), data_type, draw(symbols), interval)


archives = st.builds(Archive, series(), periods())
