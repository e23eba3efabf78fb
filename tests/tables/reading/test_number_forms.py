"""Numbers in forms that the archive does not have are refused, in every row, float and decimal."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tables.sample_data import put, text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.reading.batch import Batch
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.schemas import schema_of

FUNDING = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2023-07.zip"
METRICS = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2023-07-15.zip"
BARS = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2023-07-15.zip"
TRADES = "data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2023-07-15.zip"


def read(root: Path, key: str, line: int, place: int, text: str, *, exact: bool) -> str:
    """Replace a field, where `{}` is the field; return why the archive is refused."""
    archive = Archive.parse(key)
    rows = [each.split(",") for each in text_of(archive).splitlines()]
    rows[line][place] = text.format(rows[line][place])
    source = put(root, archive, "\n".join(map(",".join, rows)) + "\n")
    (found,) = read_batches([source], schema_of(archive), exact=exact)
    if isinstance(found, Refused):
        return str(found.error)
    assert isinstance(found, Batch)
    return ""


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("line", [1, 3])
@pytest.mark.parametrize("before", [" ", "\t", "+"])
@pytest.mark.parametrize(
    ("key", "place", "column"),
    [
        (FUNDING, 0, "calc_time"),
        (FUNDING, 1, "funding_interval_hours"),
        (FUNDING, 2, "last_funding_rate"),
        (METRICS, 2, "sum_open_interest"),
        (BARS, 10, "taker_buy_quote_volume"),
        (TRADES, 0, "id"),
    ],
)
def test_nothing_may_stand_before_a_number(
    key: str, place: int, column: str, before: str, line: int, tmp_path: Path, *, exact: bool
) -> None:
    fault = read(tmp_path, key, line, place, before + "{}", exact=exact)
    assert f"line {line + 1}, column `{column}`: `{before}" in fault
    assert read(tmp_path / "good", key, line, place, "{}", exact=exact) == ""


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("text", ["1e-400", "-2.5E-330"])
def test_a_number_that_a_float_loses_is_refused(text: str, tmp_path: Path, *, exact: bool) -> None:
    fault = read(tmp_path, FUNDING, 3, 2, text, exact=exact)
    assert "line 4, column `last_funding_rate`" in fault
    assert f"`{text}` is nearer to zero than any number of 64 bits" in fault


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("text", ["1E-8", "1E+2", "0e-400", "-0.0001", "-0", "0.10"])
def test_numbers_of_the_archive_are_read(text: str, tmp_path: Path, *, exact: bool) -> None:
    assert read(tmp_path, FUNDING, 3, 2, text, exact=exact) == ""


def test_a_blank_in_a_column_without_a_meaning_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, BARS, 3, 11, " 0", exact=False) == ""
