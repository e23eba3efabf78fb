"""A segment is read as it was written, or refused by name: no byte can change unnoticed."""

from __future__ import annotations

import io
import json
import tracemalloc
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import days, series
from tests.segments.responses import header, segment

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.segments import fill_segment
from crypto_lakehouse.segments.fill_segment import (
    FillHeader,
    FillResponse,
    fill_key,
    read_fill,
    write_fill,
)

OF = Series(Market.SPOT, DataType.AGG_TRADES, "BTCUSDT")
KEY = "rest/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2026-05-07.jsonl.zst"

moments = st.datetimes(datetime(2017, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis
texts = st.text(st.characters(exclude_categories=["Cs"]))

responses = st.builds(
    FillResponse,
    url=texts,
    params=st.dictionaries(texts, texts, max_size=3),
    received_at=moments,
    server_time=st.none() | moments,
    status=st.integers(100, 599),
    body=texts,
)

headers = st.builds(
    FillHeader,
    series=series(),
    day=days,
    complete=st.booleans(),
    proven_by=st.sampled_from(["", "ids"]),
    tool_version=texts,
    filled_at=moments,
)


def read(content: bytes, key: str = KEY) -> tuple[FillHeader, list[FillResponse]]:
    found, rest = read_fill(io.BytesIO(content), key)
    return found, list(rest)


@given(headers, st.lists(responses, max_size=4))
def test_a_segment_is_read_as_it_was_written(
    found: FillHeader, responses: list[FillResponse]
) -> None:
    content = write_fill(found, responses)
    assert content == write_fill(found, responses)
    assert read(content, fill_key(found.series, found.day)) == (found, responses)


def response(**changes: Any) -> FillResponse:
    values: dict[str, Any] = {
        "url": "https://exchange.example/api/v3/aggTrades",
        "params": {"symbol": "BTCUSDT"},
        "received_at": datetime(2026, 5, 8, 12, tzinfo=UTC),
        "server_time": None,
        "status": 200,
        "body": '[{"a": 1}]',
    }
    return FillResponse(**(values | changes))


CONTENT = segment(OF, [response(), response(status=418)])


def test_moments_are_kept_in_utc() -> None:
    there = datetime(2026, 5, 8, 14, tzinfo=timezone(timedelta(hours=2)))
    _, [found] = read(segment(OF, [response(received_at=there)]))
    assert (found.received_at, found.received_at.tzinfo) == (there, UTC)


def test_a_segment_that_is_cut_is_refused() -> None:
    for cut in range(len(CONTENT) - 4):  # the last four bytes are the checksum of all others
        with pytest.raises(SegmentError):
            read(CONTENT[:cut])


def test_no_changed_byte_gives_other_values() -> None:
    whole = read(CONTENT)
    for at in range(len(CONTENT)):
        for bit in range(8):
            changed = bytearray(CONTENT)
            changed[at] ^= 1 << bit
            try:
                assert read(bytes(changed)) == whole
            except SegmentError as error:
                assert error.key == KEY


def packed(*lines: Any, end: str = "\n", **options: Any) -> bytes:
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines) + end
    return zstandard.ZstdCompressor(**options).compress(text.encode())


HEADER: dict[str, Any] = {
    "format": 1, "market": "spot", "data_type": "aggTrades", "symbol": "BTCUSDT", "interval": None,
    "day": "2026-05-07", "proven_by": "", "complete": True, "tool_version": "1",
    "filled_at": "2026-05-08T12:00:00+00:00",
}  # fmt: skip

LINE: dict[str, Any] = {
    "url": "u", "params": {}, "received_at": "2026-05-08T12:00:00+00:00", "server_time": None,
    "status": 200, "sha256": response(body="[]").sha256, "body": "[]",
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it cannot be decompressed"),
        (b"PK\x03\x04" + b"0" * 99, "it cannot be decompressed"),
        (packed(HEADER, LINE, write_content_size=False), "does not say its size"),
        (CONTENT + CONTENT, "something follows its end"),
        (CONTENT + b"x" * 20, "it cannot be decompressed"),
        (packed("", end=""), "line 1: not JSON"),
        (packed(HEADER, LINE, end=""), "its last line has no end"),
        (packed([]), "line 1: not an object"),
        (packed(HEADER | {"format": 2}), "`format` is 2; this version reads 1"),
        (packed(HEADER | {"format": True}), "`format` is missing or of another type"),
        (packed(HEADER | {"symbol": "ETHUSDT"}), "it is of spot aggTrades ETHUSDT"),
        (packed(HEADER | {"market": "x"}), "'x' is not a valid Market"),
        (packed(HEADER | {"interval": "1h"}), "`aggTrades` has no interval"),
        (packed(HEADER | {"interval": 1}), "`interval` is missing or of another type"),
        (packed(HEADER | {"day": "2026-05-99"}), "line 1: "),
        (packed(HEADER | {"day": "2026-05-08"}), "it is of spot aggTrades BTCUSDT and 2026-05-08"),
        (packed(HEADER | {"complete": 1}), "`complete` is missing"),
        (packed(HEADER | {"filled_at": "2026-05-08"}), "not a time with an offset"),
        (packed(HEADER | {"filled_at": "noon"}), "not a time with an offset"),
        (packed(HEADER, "{"), "line 2: not JSON"),
        (packed(HEADER, LINE, LINE | {"body": "[1]"}), "line 3: the body is not the one"),
        (packed(HEADER, LINE | {"params": {"a": 1}}), "`params` has a value that is not text"),
        (packed(HEADER, LINE | {"params": []}), "`params` is missing"),
        (packed(HEADER, LINE | {"status": "200"}), "`status` is missing"),
    ],
)
def test_what_is_no_segment_is_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(SegmentError) as refused:
        read(content)
    assert reason in refused.value.reason
    assert refused.value.key == KEY


def test_no_more_than_a_bound_is_read_or_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill_segment, "MOST_BYTES", 10_000)
    with pytest.raises(SegmentError, match=r"no more than 10,000 are read"):
        read(packed(HEADER, "x" * 20_000))
    with pytest.raises(SegmentError, match=r"it would have"):
        segment(OF, [response(body="x" * 20_000)])


def test_a_bomb_is_refused_before_it_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill_segment, "LINE_BYTES", 1 << 20)
    content = packed(HEADER, "x" * (200 << 20))
    assert len(content) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(SegmentError, match="a line has more than 1,048,576 bytes"):
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_day_that_is_not_over_says_so() -> None:
    made = segment(OF, [], complete=False, proven_by="ids")
    found, none = read(made)
    assert (found.complete, found.proven_by, found.day, none) == (
        False,
        "ids",
        date(2026, 5, 7),
        [],
    )
    assert found == header(OF, complete=False, proven_by="ids")
