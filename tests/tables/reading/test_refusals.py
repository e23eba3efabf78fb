"""What is not as published is refused by name, line and column; its neighbours are read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.tables.sample_data import bars, put, put_zip, text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.reading.batch import Batch, Source
from crypto_lakehouse.tables.reading.exact_numbers import plain_digits
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.schemas import schema_of
from crypto_lakehouse.testing.made_up.zips import SPOILED, spoiled_zip

SPOT = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2023-07-15.zip"
MARK = "data/futures/um/daily/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2023-07-15.zip"
TRADES = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2023-07-15.zip"
FUNDING = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2023-07.zip"
METRICS = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2023-07-15.zip"
DEPTH = "data/futures/um/daily/bookDepth/BTCUSDT/BTCUSDT-bookDepth-2023-07-15.zip"
LIQUIDATIONS = (
    "data/futures/um/daily/liquidationSnapshot/BTCUSDT/BTCUSDT-liquidationSnapshot-2023-07-15.zip"
)
OPTIONS = "data/option/daily/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-2023-07-15.zip"

Edit = Callable[[list[str]], object]


def field(line: int, place: int, text: str) -> Edit:
    """Write another text into one field; lines are counted from 1."""

    def edit(lines: list[str]) -> None:
        fields = lines[line - 1].split(",")
        fields[place] = text
        lines[line - 1] = ",".join(fields)

    return edit


def line(number: int, text: str) -> Edit:
    def edit(lines: list[str]) -> None:
        lines[number - 1] = text

    return edit


def read(
    sources: list[Source], *, exact: bool = False, size: int = 1 << 24
) -> tuple[int, list[Refused]]:
    rows, refused = 0, []
    for batch in read_batches(
        sources, schema_of(sources[0].archive), exact=exact, batch_bytes=size
    ):
        if isinstance(batch, Batch):
            assert batch.frame.height == sum(piece.rows for piece in batch.pieces)
            rows += batch.frame.height
        else:
            refused.append(batch)
    return rows, refused


CASES = [
    (SPOT, field(3, 1, "abc"), 3, "open", "`abc` is not a number"),
    (SPOT, field(24, 4, ""), 24, "close", "a blank is not a number"),
    (SPOT, field(7, 2, "nan"), 7, "high", "`nan` is not a number"),
    (SPOT, field(7, 2, "-inf"), 7, "high", "is not a number"),
    (SPOT, field(5, 8, "1.5"), 5, "count", "is not a whole number"),
    (SPOT, field(5, 8, "9223372036854775808"), 5, "count", "64 bits"),
    (SPOT, field(9, 0, "1689379200"), 9, "open_time", "not in the unit of the file's first time"),
    (SPOT, field(9, 6, "1689379200000000"), 9, "close_time", "not in the unit"),
    (SPOT, field(1, 0, "1689379200"), 1, "open_time", "neither in milliseconds nor"),
    (SPOT, field(1, 0, "1689379200000000000"), 1, "open_time", "neither in milliseconds nor"),
    (SPOT, field(1, 0, "x"), 1, "open_time", "is not a time in epoch units"),
    (SPOT, line(4, "1,2,3"), 4, "", "3 fields instead of 12"),
    (SPOT, line(4, ",".join(["1"] * 13)), 4, "", "13 fields instead of 12"),
    (SPOT, line(4, ""), 4, "", "1 field instead of 12"),
    (SPOT, line(24, ""), 24, "", "1 field instead of 12"),
    (SPOT, line(1, "1,2,3"), 1, "", "3 fields instead of the 12"),
    (SPOT, line(1, "\ufeff1"), 1, "", "byte order mark"),
    (SPOT, line(1, "open_time,colour"), 1, "colour", "names a column that is not known"),
    (SPOT, line(1, "open_time,open"), 1, "", "a column is missing, or out of place"),
    (SPOT, line(12, "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
                    "taker_buy_volume,taker_buy_quote_volume,ignore"),
     12, "open_time", "is not a whole number"),
    (TRADES, field(2, 5, "yes"), 2, "is_buyer_maker", "`yes` is not true or false"),
    (TRADES, field(2, 5, '"true"'), 2, "is_buyer_maker", "is not true or false"),
    (TRADES, field(999, 6, ""), 999, "is_best_match", "is not true or false"),
    (FUNDING, field(4, 2, "x"), 4, "last_funding_rate", "is not a number"),
    (METRICS, field(4, 0, "2023-07-15T00:15:00"), 4, "create_time", "is not a time as"),
    (METRICS, field(4, 1, "ETHUSDT"), 4, "symbol", "`ETHUSDT` instead of `BTCUSDT`"),
    (METRICS, field(4, 7, "1,2"), 4, "", "9 fields instead of 8"),
    (DEPTH, field(4, 0, "2023-13-15 00:00:08"), 4, "timestamp", "is not a time as"),
    (LIQUIDATIONS, field(4, 1, ""), 4, "side", "a blank where a text must be"),
    (OPTIONS, field(4, 0, "15.07.2023"), 4, "date", "is not a day as"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "edit", "number", "column", "reason"),
    CASES,
    ids=[f"{case[0].split('/')[-2]}-{number}" for number, case in enumerate(CASES)],
)
def test_a_fault_is_named_by_line_and_column(
    key: str, edit: Edit, number: int, column: str, reason: str, tmp_path: Path
) -> None:
    archive = Archive.parse(key)
    lines = text_of(archive).splitlines()
    edit(lines)
    source = put(tmp_path, archive, "\n".join(lines) + "\n")
    rows, (refused,) = read([source])
    assert rows == 0
    assert refused.source is source
    assert (refused.error.line, refused.error.column) == (number, column)
    assert reason in refused.error.reason
    assert str(refused.error).startswith(f"{key}: line {number}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("0." + "1" * 19, "does not fit"), ("1" * 21, "does not fit"), ("1E-19", "does not fit"),
     ("5.551115123125783E-17", "does not fit"), ("1E20", "does not fit"), ("1E-9999", "nearer"),
     ("0.1E-18", "does not fit"), ("1_0E1", "is not a number"), ("1E", "is not a number"),
     ("x", "is not a number"), ("inf", "is not a number")],
)  # fmt: skip
def test_exact_numbers_lose_no_digit(text: str, reason: str, tmp_path: Path) -> None:
    archive = Archive.parse(SPOT)
    lines = text_of(archive).splitlines()
    field(3, 5, text)(lines)
    _, (refused,) = read([put(tmp_path, archive, "\n".join(lines))], exact=True)
    assert (refused.error.line, refused.error.column) == (3, "volume")
    assert reason in refused.error.reason


def test_eighteen_digits_are_kept(tmp_path: Path) -> None:
    archive = Archive.parse(SPOT)
    lines = text_of(archive).splitlines()
    field(3, 5, "0." + "1" * 18)(lines)
    (batch,) = read_batches(
        [put(tmp_path, archive, "\n".join(lines))], schema_of(archive), exact=True
    )
    assert isinstance(batch, Batch)
    assert str(batch.frame["volume"][2]) == "0." + "1" * 18


EXACT = [
    "1E-8", "1e-8", "1E-18", "12.5E+3", "9.9E19", "1E-0008", ".5e1", "5.e1", "0E99", "-1E-8",
    "1.500000000000000000000000", "0.0000000000000000000000", "100" + "0" * 30 + "E-30",
]  # fmt: skip


def test_exact_numbers_may_be_written_with_exponents_and_zeros(tmp_path: Path) -> None:
    archive = Archive.parse(SPOT)
    lines = text_of(archive).splitlines()
    for number, text in enumerate(EXACT, 1):
        field(number, 5, text)(lines)
    source = put(tmp_path, archive, "\n".join(lines))
    (batch,) = read_batches([source], schema_of(archive), exact=True)
    assert isinstance(batch, Batch)
    assert batch.frame["volume"].to_list()[: len(EXACT)] == [*map(Decimal, EXACT)]
    assert batch.frame["volume"][20] == Decimal(lines[20].split(",")[5])


@given(
    digits=st.text("0123456789", min_size=1, max_size=45),
    point=st.integers(0, 45),
    exponent=st.none() | st.integers(-60, 60),
    sign=st.sampled_from(["", "-", "+"]),
)
def test_plain_digits_are_those_of_the_number_or_none(
    digits: str, point: int, exponent: int | None, sign: str
) -> None:
    text = f"{sign}{digits[:point]}.{digits[point:]}" + ("" if exponent is None else f"e{exponent}")
    number = Decimal(text)
    plain = plain_digits(text)
    scaled = number.scaleb(18, Context(prec=200))
    fits = abs(scaled) < 10**38 and scaled == scaled.to_integral_value()
    assert (plain is not None) == fits
    if plain is not None:
        assert Decimal(plain) == number
        assert "e" not in plain.lower()


@pytest.mark.parametrize("exact", [False, True], ids=["float", "exact"])
@pytest.mark.parametrize("key", [SPOT, MARK])
def test_a_blank_without_a_meaning_costs_nothing(key: str, exact: bool, tmp_path: Path) -> None:
    archive = Archive.parse(key)
    lines = text_of(archive).splitlines()
    first = 1 if lines[0].startswith("open_time") else 0
    for place, column in enumerate(schema_of(archive).columns):
        if not column.stored:
            field(first + 3, place, "")(lines)
            field(len(lines), place, "")(lines)
    source = put(tmp_path, archive, "\n".join(lines) + "\n")
    assert read([source], exact=exact) == (24, [])
    lines[first + 3] = lines[first + 3].rpartition(",")[0]
    _, (refused,) = read([put(tmp_path, archive, "\n".join(lines))], exact=exact)
    assert (refused.error.line, refused.error.reason) == (first + 4, "11 fields instead of 12")


WEEKS = "data/spot/monthly/klines/BTCUSDT/1w/BTCUSDT-1w-2024-12.zip"


def test_a_bar_that_opens_in_2024_and_closes_in_2025_has_both_units(tmp_path: Path) -> None:
    archive = Archive.parse(WEEKS)
    lines = text_of(archive).splitlines()
    field(5, 6, "1736121599999999")(lines)
    source = put(tmp_path, archive, "\n".join(lines))
    (batch,) = read_batches([source], schema_of(archive))
    assert isinstance(batch, Batch)
    closes = batch.frame["close_time"].to_list()
    assert closes[3] == datetime(2024, 12, 29, 23, 59, 59, 999_000, UTC)
    assert closes[4] == datetime(2025, 1, 5, 23, 59, 59, 999_999, UTC)
    assert batch.pieces[0].form.time_unit == "ms"


@pytest.mark.parametrize("text", ["1735689599999999", "1" + "0" * 17, "173612159999999999"])
def test_microseconds_before_2025_are_not_in_a_file_of_milliseconds(
    text: str, tmp_path: Path
) -> None:
    archive = Archive.parse(WEEKS)
    lines = text_of(archive).splitlines()
    field(5, 6, text)(lines)
    _, (refused,) = read([put(tmp_path, archive, "\n".join(lines))])
    assert (refused.error.line, refused.error.column) == (5, "close_time")
    assert "is not in the unit of the file's first time, `ms`" in refused.error.reason


@pytest.mark.parametrize("kind", sorted(SPOILED))
def test_a_zip_that_is_no_archive_is_refused(kind: str, tmp_path: Path) -> None:
    archive = Archive.parse(SPOT)
    source = put_zip(tmp_path, archive, spoiled_zip(kind, SPOT, text_of(archive).encode()))
    rows, (refused,) = read([source])
    assert rows == 0
    assert refused.error.line is None
    assert refused.error.fault


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "the file is empty"),
        (b"\xff" * 50, "not UTF-8"),
        (b"\0" * 50, "1 field instead of the 12 fields"),
    ],
)
def test_what_is_no_text_is_refused(text: bytes, reason: str, tmp_path: Path) -> None:
    _, (refused,) = read([put(tmp_path, Archive.parse(SPOT), text)])
    assert reason in str(refused.error)


def test_bytes_that_are_no_utf8_are_found_in_the_middle(tmp_path: Path) -> None:
    archive = Archive.parse(LIQUIDATIONS)
    lines = text_of(archive).encode().splitlines()
    lines[5] = lines[5].replace(b"BUY", b"B\xff").replace(b"SELL", b"S\xff")
    _, (refused,) = read([put(tmp_path, archive, b"\n".join(lines))])
    assert refused.error.line == 6


def test_neighbours_of_a_refused_archive_are_read(tmp_path: Path) -> None:
    archives = [bars(date(2023, 7, day)) for day in range(1, 10)]
    sources = [put(tmp_path, archive) for archive in archives]
    bad = text_of(archives[4]).replace(".", "x", 1)
    sources[4] = put(tmp_path, archives[4], bad)
    sources[6] = put_zip(tmp_path, archives[6], b"no zip")
    rows, refused = read(sources)
    assert rows == 24 * 7
    assert [each.source for each in refused] == [sources[4], sources[6]]


@pytest.mark.parametrize("header", [True, False], ids=["header", "plain"])
@pytest.mark.parametrize("end", ["\n", "", "\r\n"], ids=["lf", "none", "crlf"])
def test_the_last_line_may_end_as_it_likes(header: bool, end: str, tmp_path: Path) -> None:
    archive = Archive.parse(SPOT)
    lines = text_of(archive).splitlines()
    if header:
        lines.insert(0, ",".join(column.published for column in schema_of(archive).columns).upper())
    joint = end or "\n"
    text = joint.join(lines) + end
    if header and end == "\r\n":
        return  # a header with a carriage return is no published one
    source = put(tmp_path, archive, text)
    assert read([source]) == (24, [])


def test_a_header_alone_is_no_row(tmp_path: Path) -> None:
    archive = Archive.parse(FUNDING)
    source = put(tmp_path, archive, "calc_time,funding_interval_hours,last_funding_rate\n")
    assert read([source]) == (0, [])
    bare = put(tmp_path, archive, "calc_time,funding_interval_hours,last_funding_rate")
    assert read([bare]) == (0, [])


def test_liquidations_may_have_a_symbol(tmp_path: Path) -> None:
    archive = Archive.parse(LIQUIDATIONS)
    lines = [each.split(",") for each in text_of(archive).splitlines()]
    for number, fields in enumerate(lines):
        fields.insert(1, "BTCUSDT" if number else "symbol")
    text = "\n".join(",".join(fields) for fields in lines)
    assert read([put(tmp_path, archive, text)]) == (48, [])
    _, (refused,) = read([put(tmp_path, archive, text.replace("BTCUSDT", "X", 1))])
    assert (refused.error.line, refused.error.column) == (2, "symbol")


@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_whatever_is_in_the_file_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = data.draw(st.sampled_from([SPOT, TRADES, METRICS, FUNDING, OPTIONS]))
    archive = Archive.parse(key)
    text = bytearray(text_of(archive)[:3000].rsplit("\n", 1)[0].encode())
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b",", b"\n", b"-", b"1e9", b" "])
        )
    root = tmp_path_factory.mktemp("any")
    source = put(root, archive, bytes(text))
    rows, refused = read([source], size=data.draw(st.sampled_from([500, 1 << 24])))
    assert len(refused) <= 1
    if not refused:
        lines = text.count(b"\n") + (not text.endswith(b"\n"))
        assert rows == lines - text_of(archive)[0].isalpha()


@settings(max_examples=examples(40), deadline=None)
@given(size=st.integers(300, 30_000), count=st.integers(1, 6))
def test_rows_do_not_depend_on_batches(
    size: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("batches")
    archives = [bars(date(2023, 7, 1 + number)) for number in range(count)]
    sources = [put(root, archive) for archive in archives]
    seen: dict[str, list[tuple[int, int, bool, bool]]] = {}
    rows = []
    for batch in read_batches(sources, schema_of(archives[0]), batch_bytes=size):
        assert isinstance(batch, Batch)
        rows += batch.frame["open_time"].to_list()
        for piece in batch.pieces:
            seen.setdefault(piece.source.archive.key, []).append(
                (piece.first_line, piece.rows, piece.begins, piece.ends)
            )
    assert len(rows) == len(set(rows)) == 24 * count
    assert rows == sorted(rows)
    for pieces in seen.values():
        assert [begins for *_, begins, _ in pieces] == [True, *[False] * (len(pieces) - 1)]
        assert [ends for *_, ends in pieces] == [*[False] * (len(pieces) - 1), True]
        lines = 1
        for first_line, count_of, *_ in pieces:
            assert first_line == lines
            lines += count_of
        assert lines == 25


def test_small_archives_share_a_batch(tmp_path: Path) -> None:
    sources = [put(tmp_path, bars(date(2023, 7, day))) for day in range(1, 31)]
    batches = list(read_batches(sources, schema_of(sources[0].archive)))
    assert len(batches) == 1
