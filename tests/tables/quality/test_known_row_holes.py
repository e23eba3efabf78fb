"""A known hole explains what was reported, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.tables.quality.defects import Edit, Rows, edited, findings

from crypto_lakehouse.core.archive import Archive, Market
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.tables.quality.findings import Severity
from crypto_lakehouse.tables.quality.known_row_holes import (
    KnownRowHole,
    RowHole,
    load_known_row_holes,
)

BARS = "data/{market}/{partition}/{type}/{symbol}/{interval}/{symbol}-{interval}-{period}.zip"


def bars(
    period: str,
    symbol: str = "BTCUSDT",
    interval: str = "1h",
    *,
    market: str = "spot",
    kind: str = "klines",
) -> str:
    """The key of an archive of bars: of a month or a day."""
    partition = "monthly" if len(period) == len("2024-01") else "daily"
    return BARS.format(market=market, partition=partition, type=kind, symbol=symbol,
                       interval=interval, period=period)  # fmt: skip


def without(first: str, last: str) -> Edit:
    """Leave out the rows from one time up to before another."""
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))

    def edit(rows: Rows) -> None:
        rows[:] = [row for row in rows if not start <= _instant(row[0]) < end]

    return edit


def _instant(text: str) -> datetime:
    digits = {13: 1_000, 16: 1_000_000}
    return datetime.fromtimestamp(int(text) / digits[len(text)], UTC)


def source_of(root: Path, key: str, first: str, last: str) -> str | None:
    """The report that explains the hole of an archive without some rows; None if it is new."""
    found = findings(edited(root, key, without(first, last)))
    holes = [each for name, each in found.items() if name in {"continuity", "coverage"}]
    assert len(holes) == 1, found
    (hole,) = holes
    is_known = hole.severity is Severity.INFO
    assert is_known is ("; known: " in hole.sentence)
    return hole.source if is_known else None


@pytest.mark.parametrize(
    ("key", "first", "last", "source"),
    [
        # The month was published so.
        (bars("2024-01"), "2024-01-11", "2024-02-01", "#320"),
        (bars("2024-01", "ETHUSDT", "1d"), "2024-01-11", "2024-02-01", "#320"),
        (bars("2024-07", interval="3d"), "2024-07-08", "2024-08-01", "#359, #403"),
        (bars("2022-04", "XRPUSDT", "5m", market="futures/um"), "2022-04-01", "2022-04-03", "#297"),
        # The same month lacks other rows.
        (bars("2024-01"), "2024-01-20", "2024-01-21", None),
        (bars("2024-01"), "2024-01-05", "2024-02-01", None),
        (bars("2024-01"), "2024-01-20", "2024-02-01", None),
        (bars("2024-01"), "2024-01-01", "2024-01-03", None),
        (bars("2022-04", "XRPUSDT", "5m", market="futures/um"), "2022-04-01", "2022-04-02", None),
        # Another archive lacks rows of this time.
        (bars("2024-01-05"), "2024-01-05T05", "2024-01-05T15", None),
        (bars("2024-01-06"), "2024-01-06T08", "2024-01-07", None),
        (bars("2024-01-20"), "2024-01-20T05", "2024-01-20T15", None),
        (bars("2024-07-20"), "2024-07-20T05", "2024-07-20T15", None),
        (bars("2024-01", market="futures/um"), "2024-01-11", "2024-02-01", None),
        (bars("2022-04", "XRPUSDT", "1h", market="futures/um"), "2022-04-01", "2022-04-03", None),
        (bars("2022-04-01", "XRPUSDT", "5m", market="futures/um"), "2022-04-01T02",
         "2022-04-02", None),
        (bars("2022-05-20"), "2022-05-20T05", "2022-05-20T15", None),
        (bars("2022-05", interval="1h", market="futures/um"), "2022-05-16", "2022-05-17", None),
        # An outage of the venue is in days and months, of any interval.
        (bars("2018-06-26"), "2018-06-26T02", "2018-06-26T12", "#365, #434"),
        (bars("2018-06", interval="4h"), "2018-06-26T04", "2018-06-26T12", "#365, #434"),
        (bars("2018-02-08", interval="1m"), "2018-02-08T00:29", "2018-02-09", "#77, #169, #365"),
        (bars("2018-02-09"), "2018-02-09", "2018-02-09T10", "#77, #169, #365"),
        (bars("2021-08-13"), "2021-08-13T02", "2021-08-13T07", "#135"),
        # It explains no longer hole, and none beside it.
        (bars("2018-06-26"), "2018-06-26T02", "2018-06-26T13", None),
        (bars("2018-06-26"), "2018-06-26T01", "2018-06-26T12", None),
        (bars("2018-06-25"), "2018-06-25T20", "2018-06-26", None),
        (bars("2018-06-26"), "2018-06-26T18", "2018-06-26T20", None),
        (bars("2021-08-13"), "2021-08-13T02", "2021-08-13T12", None),
        # Some minutes, of prices that the venue does not have.
        (bars("2020-01-19", interval="1m", market="futures/um", kind="markPriceKlines"),
         "2020-01-19T10:00", "2020-01-19T10:29", "#483"),
        (bars("2020-01-19", interval="1m", market="futures/um", kind="markPriceKlines"),
         "2020-01-19T10:00", "2020-01-19T10:30", None),
        (bars("2020-01-19", interval="1m", market="futures/um"),
         "2020-01-19T10:00", "2020-01-19T10:29", None),
        (bars("2023-11-10", interval="5m", market="futures/um", kind="indexPriceKlines"),
         "2023-11-10T10:00", "2023-11-10T10:25", "#484"),
    ],
)  # fmt: skip
def test_a_known_hole_explains_the_archives_of_its_report_only(
    key: str, first: str, last: str, source: str | None, tmp_path: Path
) -> None:
    known = f"binance-public-data{source}" if source else None
    assert source_of(tmp_path, key, first, last) == known


@pytest.mark.parametrize(
    ("symbol", "day", "first", "source"),
    [
        ("BTCUSDT", "2024-02-16", "13:35:00", "#335"),
        ("BTCUSDT", "2024-02-16", "12:00:00", None),
        ("ETHUSDT", "2024-02-16", "13:35:00", None),
        ("ETHUSDT", "2023-09-18", "13:05:00", "#276"),
        ("ETHUSDT", "2023-09-18", "20:00:00", None),
    ],
)
def test_half_a_day_of_metrics_is_known_to_its_end(
    symbol: str, day: str, first: str, source: str | None, tmp_path: Path
) -> None:
    key = f"data/futures/um/daily/metrics/{symbol}/{symbol}-metrics-{day}.zip"
    start = datetime.fromisoformat(day)

    def edit(rows: Rows) -> None:
        labels = (str(start + timedelta(minutes=5 * number)) for number in range(1, 289))
        rows[:] = [[label, *rows[0][1:]] for label in labels if label < f"{day} {first}"]

    found = findings(edited(tmp_path, key, edit))["coverage"]
    is_known = found.severity is Severity.INFO
    assert (found.source if is_known else None) == (source and f"binance-public-data{source}")


def test_half_a_day_of_metrics_lacks_no_row_at_its_beginning(tmp_path: Path) -> None:
    key = "data/futures/um/daily/metrics/ETHUSDT/ETHUSDT-metrics-2023-07-15.zip"

    def edit(rows: Rows) -> None:
        start = datetime.fromisoformat("2023-07-15 00:05:00")
        labels = (start + timedelta(minutes=5 * each) for each in range(144))
        rows[:] = [[str(label), *rows[0][1:]] for label in labels]

    found = findings(edited(tmp_path, key, edit))["coverage"]
    expected = "144 rows are missing at the end: the last is at 2023-07-15 12:00:00"
    assert found.sentence == expected


def test_a_known_hole_does_not_explain_the_other_end(tmp_path: Path) -> None:
    def edit(rows: Rows) -> None:
        rows[:] = rows[10:20]

    (found,) = findings(edited(tmp_path, bars("2018-02-09"), edit)).values()
    assert (found.severity, found.rows) == (Severity.WARNING, 14)
    assert found.sentence == (
        "14 rows are missing at the beginning and end: "
        "the first is at 2018-02-09 10:00:00 and the last is at 2018-02-09 19:00:00"
    )


@pytest.mark.parametrize("size", [1 << 24, 2_000], ids=["one batch", "many batches"])
def test_a_known_hole_explains_no_later_one(size: int, tmp_path: Path) -> None:
    key = bars("2018-06", interval="1m")

    def edit(rows: Rows) -> None:
        without("2018-06-26T02:00", "2018-06-26T12:00")(rows)
        without("2018-06-30T22:00", "2018-06-30T23:00")(rows)

    found = findings(edited(tmp_path, key, edit), size)["continuity"]
    assert (found.severity, found.rows) == (Severity.WARNING, 660)


# Trades, which have no fixed step -----------------------------------------------------------------

TRADES = "data/{}/daily/trades/BTCUSDT/BTCUSDT-trades-{}.zip"


def gap(day: str, first: str, last: str, market: str = "futures/um") -> RowHole:
    start, end = (datetime.fromisoformat(f"{day}T{text}Z") for text in (first, last))
    archive = Archive.parse(TRADES.format(market, day))
    return RowHole(archive=archive, start=start, end=end, rows=9, of_ids=True)


@pytest.mark.parametrize(
    ("hole", "is_known"),
    [
        (gap("2023-01-24", "20:14:17", "23:59:59"), True),
        (gap("2023-01-24", "19:50:00", "23:59:59"), True),  # a thin symbol's last trade
        (gap("2023-01-24", "19:00:00", "23:59:59"), False),
        (gap("2023-01-24", "20:14:17", "21:00:00"), False),
        (gap("2023-01-24", "22:00:00", "23:59:59"), False),
        (gap("2023-01-10", "20:14:17", "23:59:59"), False),
        (gap("2023-01-24", "20:14:17", "23:59:59", "spot"), False),
    ],
)
def test_missing_ids_are_known_at_their_time_only(*, hole: RowHole, is_known: bool) -> None:
    assert (load_known_row_holes().explaining(hole) is not None) is is_known


@pytest.mark.parametrize(("of_ids", "is_known"), [(False, True), (True, False)])
def test_an_outage_takes_no_ids(*, of_ids: bool, is_known: bool) -> None:
    start, end = datetime(2018, 6, 26, 2, tzinfo=UTC), datetime(2018, 6, 26, 12, tzinfo=UTC)
    archive = Archive.parse(TRADES.format("spot", "2018-06-26"))
    hole = RowHole(archive=archive, start=start, end=end, rows=5, of_ids=of_ids)
    assert (load_known_row_holes().explaining(hole) is not None) is is_known


def test_an_outage_explains_no_longer_silence() -> None:
    archive = Archive.parse(TRADES.format("spot", "2021-08-13"))
    start = datetime(2021, 8, 13, 2, tzinfo=UTC)
    for hours, is_known in ((6, True), (12, False)):
        hole = RowHole(archive=archive, start=start, end=start + timedelta(hours=hours), rows=0)
        assert (load_known_row_holes().explaining(hole) is not None) is is_known


# The file -----------------------------------------------------------------------------------------


def spoilt(text: str) -> str:
    entry = '"markets": ["spot"], "reason": "x", "source": "y"'
    return f'{{"format": "crypto-lakehouse/row-holes/2", "holes": [{{{entry}, {text}}}]}}'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"format": "x"}', "$.format"),
        (spoilt('"since": "2024-01-02T00:00:00Z", "until": "2024-01-02T00:00:00Z"'),
         "$.holes[0].until: is not after since"),
        (spoilt('"since": "2024-01-02", "until": "2024-01-03T00:00:00Z"'),
         "$.holes[0].since: `2024-01-02` is not an instant in UTC"),
        (spoilt('"since": 5, "until": "2024-01-03T00:00:00Z"'),
         "$.holes[0].since: `5` is not an instant in UTC"),
        (spoilt('"since": "2024-01-02T00:00:00Z", "until": "2024-01-03T00:00:00Z", '
                '"intervals": ["1M"]'), "$.holes[0].intervals: unknown interval `1M`"),
    ],
)  # fmt: skip
def test_faults_of_a_file_of_holes_are_named(text: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "holes.json"
    path.write_text(text)
    with pytest.raises(MatrixError) as refused:
        load_known_row_holes(path)
    assert place in str(refused.value)


@pytest.mark.parametrize("hole", load_known_row_holes().holes, ids=lambda hole: hole.source)
def test_a_shipped_hole_lies_within_lives_and_names_its_archives(hole: KnownRowHole) -> None:
    first, last = datetime(2017, 8, 17, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    assert first <= hole.since < hole.until <= last
    assert hole.source.startswith("binance-public-data#")
    assert hole.markets
    # A hole of all types and both partitions is an outage of the venue, which takes no ids.
    is_outage = "outage" in hole.reason
    assert is_outage == (hole.markets == (Market.SPOT,) and not hole.data_types)
    assert not (is_outage and (hole.ids or hole.partitions))
    # What is not an outage is one hole as a whole, or has a known length.
    assert is_outage or hole.entire != (hole.most_minutes is not None)
    assert hole.until - hole.since <= timedelta(days=2) or hole.partitions
