"""Archives with a defect, and what the inspector finds in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.tables.sample_data import put, text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Finding, Policy
from crypto_lakehouse.tables.quality.inspector import Inspector
from crypto_lakehouse.tables.quality.known_row_holes import KnownRowHoles, load_known_row_holes
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.schemas import schema_of

BARS = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2023-07-15.zip"

MINUTES = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2023-07-15.zip"

WEEKS = "data/spot/monthly/klines/BTCUSDT/1w/BTCUSDT-1w-2023-07.zip"

MONTHS = "data/spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2023-02.zip"

THREE_DAYS = "data/spot/monthly/klines/BTCUSDT/3d/BTCUSDT-3d-2023-05.zip"

PREMIUM = "data/futures/um/daily/premiumIndexKlines/BTCUSDT/1h/BTCUSDT-1h-2023-07-15.zip"

COIN_TRADES = "data/futures/cm/daily/trades/BTCUSD_PERP/BTCUSD_PERP-trades-2023-07-15.zip"

MARK = "data/futures/um/daily/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2023-07-15.zip"

COIN = "data/futures/cm/daily/klines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-2023-07-15.zip"

TRADES = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2023-07-15.zip"

AGGREGATES = "data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2023-07-15.zip"

FUNDING = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2023-07.zip"

METRICS = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2023-07-15.zip"

METRICS_NEW = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2026-07-15.zip"

DEPTH = "data/futures/um/daily/bookDepth/BTCUSDT/BTCUSDT-bookDepth-2023-07-15.zip"

TICKER = "data/futures/um/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2023-07-15.zip"

LIQUIDATIONS = (
    "data/futures/um/daily/liquidationSnapshot/BTCUSDT/BTCUSDT-liquidationSnapshot-2023-07-15.zip"
)

VOLATILITY = "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2023-07-15.zip"

OPTIONS = "data/option/daily/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-2023-07-15.zip"

Rows = list[list[str]]

Edit = Callable[[Rows], object]


def rows_of(archive: Archive) -> tuple[list[str], Rows]:
    lines = [line.split(",") for line in text_of(archive).splitlines()]
    known = {column.published for column in schema_of(archive).columns}
    head = lines.pop(0) if lines[0][0] in known else []
    return head, lines


def edited(root: Path, key: str, edit: Edit) -> Source:
    archive = Archive.parse(key)
    head, rows = rows_of(archive)
    edit(rows)
    lines = [head, *rows] if head else rows
    return put(root, archive, "".join(",".join(line) + "\n" for line in lines))


def inspect(
    sources: list[Source],
    *,
    size: int = 1 << 24,
    policies: dict[str, Policy] | None = None,
    known: KnownRowHoles | None = None,
) -> tuple[dict[str, ArchiveQuality], int]:
    schema = schema_of(sources[0].archive)
    inspector = Inspector(schema, policies or {}, known or load_known_row_holes())
    found: dict[str, ArchiveQuality] = {}
    kept = 0
    for batch in read_batches(sources, schema, batch_bytes=size):
        if isinstance(batch, Refused):
            inspector.forget(batch.source)
            continue
        checked = inspector.check(batch)
        assert checked.frame.height == sum(checked.rows)
        assert not [name for name in checked.frame.columns if name.startswith("_")]
        kept += checked.frame.height
        found.update({quality.key: quality for quality in checked.qualities})
    return found, kept


def findings(source: Source, size: int = 1 << 24) -> dict[str, Finding]:
    (quality,) = inspect([source], size=size)[0].values()
    return {finding.check: finding for finding in quality.findings}


def put_field(row: int, place: int, text: str) -> Edit:
    def edit(rows: Rows) -> None:
        rows[row][place] = text

    return edit


def put_prices(text: str) -> Edit:
    """Another price in the fifth bar: open, high, low and close."""

    def edit(rows: Rows) -> None:
        rows[4][1:5] = [text] * 4

    return edit


def tiny_volume(rows: Rows) -> None:
    rows[4][7], rows[4][10] = "5.5E-17", "0"


def empty_side(rows: Rows) -> None:
    rows[7][1:3] = ["0.0", "0"]


def without_trades(rows: Rows) -> None:
    for place in (5, 7, 8, 9, 10):
        rows[4][place] = "0"


def drop(*numbers: int) -> Edit:
    def edit(rows: Rows) -> None:
        for number in sorted(numbers, reverse=True):
            del rows[number]

    return edit


def shift(place: int, by: int, *numbers: int) -> Edit:
    def edit(rows: Rows) -> None:
        for number in numbers or range(len(rows)):
            rows[number][place] = str(int(rows[number][place]) + by)

    return edit


def swap(rows: Rows) -> None:
    rows[3], rows[4] = rows[4], rows[3]


def repeat(rows: Rows) -> None:
    rows.insert(3, list(rows[3]))


def freeze(rows: Rows) -> None:
    for row in rows:
        if row[1] == "1.00":
            row[3] = f"{float(row[2]) * 30000:.8f}"


def double(rows: Rows) -> None:
    rows[:] = [row for row in rows for _ in range(2)]


def starts_as_labels(rows: Rows) -> None:
    rows.insert(0, list(rows[0]))
    rows[0][0] = "2023-07-15 00:00:00"
    del rows[-1]


def ends_as_labels(rows: Rows) -> None:
    rows.append(list(rows[-1]))
    rows[-1][0] = "2026-07-16 00:00:00"
    del rows[0]


def unfilled(rows: Rows) -> None:
    """An order without an average price."""
    rows[7][6:10] = ["0", "NEW", "0", "0"]


def at_the_market(rows: Rows) -> None:
    """An order without a limit."""
    rows[7][2], rows[7][5] = "MARKET", "0"


def at_no_price(*places: int) -> Edit:
    """Contracts of an option that were traded, with zeros for some of their prices."""

    def edit(rows: Rows) -> None:
        rows[7][10] = "5"
        for place in places:
            rows[7][place] = "0"

    return edit


def month_from_second(rows: Rows) -> None:
    rows[0][0] = str(int(rows[0][0]) + 86_400_000)
