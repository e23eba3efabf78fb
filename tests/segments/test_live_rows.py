"""Recorded messages become the rows of their tables exactly, or are refused by a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.segments.live_samples import (
    RECEIVED_US,
    SAMPLES,
    T_MS,
    T_US,
    Sample,
    header_of,
    variants,
)

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_rows import BadMessage, LiveEvent, LiveRows
from crypto_lakehouse.segments.live_segment import LiveMessage
from crypto_lakehouse.tables.schema.received import excerpt_columns
from crypto_lakehouse.tables.schema.schemas import schema_for

EACH = pytest.mark.parametrize(
    "sample", SAMPLES, ids=lambda each: f"{each.market} {each.stream} {each.connection}"
)


def event_of(sample: Sample, body: bytes | None = None) -> LiveEvent | None:
    message = sample.message()
    if body is not None:
        message = message._replace(body=body)
    return LiveRows(sample.header).event_of(message)


def of(market: Market, kind: StreamKind) -> Sample:
    return next(each for each in SAMPLES if each.market is market and each.kind is kind)


@EACH
def test_a_message_is_the_rows_of_its_table(sample: Sample) -> None:
    event = event_of(sample)
    assert event is not None
    assert event.series == sample.series
    assert event.rows == sample.rows
    schema = schema_for(sample.market, data_type_of(sample.kind))
    names = [column.name for column in excerpt_columns(schema)]
    assert names[-1] == "received_at"
    for row in event.rows:
        values = dict(zip(names[:-1], row.split(","), strict=True))
        if sample.has_time:
            assert event.time_us == int(values[schema.time])
        else:
            assert (schema.time, event.time_us) == ("received_at", RECEIVED_US)


@EACH
def test_what_is_missing_or_of_another_type_is_refused_or_makes_no_other_value(
    sample: Sample,
) -> None:
    refused = 0
    for data in variants(sample.data):
        try:
            event = event_of(sample, sample.of(data).body)
        except BadMessage:
            refused += 1
            continue
        for row in event.rows if event is not None else ():
            assert any(_is_like(row, other, sample) for other in sample.rows)
    assert refused >= 6 * len(sample.rows[0].split(",")) - 20


def _is_like(row: str, other: str, sample: Sample) -> bool:
    """Whether a row has the values of another one, but for what may be missing, and for words."""
    schema = schema_for(sample.market, data_type_of(sample.kind))
    columns = excerpt_columns(schema)[:-1]
    return all(
        one in {wanted, "-0.0"}
        or column.kind in {"text", "flag", "id", "count", "time"}
        or (one == "" and column.nullable)
        for column, one, wanted in zip(columns, row.split(","), other.split(","), strict=True)
    )


BAD: list[tuple[bytes, str]] = [
    (b"", "it is no JSON"),
    (b"{", "it is no JSON"),
    (b"\xff", "it is no JSON"),
    (b"[1]", "it is no object"),
    (b"{}", "it names no stream"),
    (b'{"stream":5,"data":{}}', "it names no stream"),
    (b'{"stream":"btcusdt@trade","data":{}}', "it is of another stream"),
    (b'{"stream":"btcusdt@aggTrade_1m","data":{}}', "it is of another stream"),
    (b'{"stream":"btcusdt@aggTrade","data":[]}', "its payload is no object"),
    (b'{"stream":"btcusdt@aggTrade","data":{"e":"trade"}}', "`e` is not that of its stream"),
    (b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade"}}', "`s` is not a symbol"),
]


@pytest.mark.parametrize(("body", "reason"), BAD, ids=range(len(BAD)))
def test_what_is_no_message_of_the_stream_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as refused:
        event_of(of(Market.SPOT, StreamKind.AGG_TRADE), body)
    assert str(refused.value) == reason


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Sample], bytes]:
    def body(sample: Sample) -> bytes:
        data = json.loads(json.dumps(sample.data))
        change(data)
        return sample.of(data).body

    return body


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        (StreamKind.AGG_TRADE, lambda data: data.update(s="ETHUSDT"), "of another symbol"),
        (StreamKind.AGG_TRADE, lambda data: data.update(T=1_778_241_600), "`T` is not a time"),
        (StreamKind.AGG_TRADE, lambda data: data.update(a=1 << 63), "no JSON"),
        (StreamKind.AGG_TRADE, lambda data: data.update(p="9" * 21), "`p` is not a decimal"),
        (StreamKind.AGG_TRADE, lambda data: data.update(p="1." + "9" * 19), "`p` is not a dec"),
        (StreamKind.KLINE, lambda data: data["k"].update(i="5m"), "of another interval"),
        (StreamKind.KLINE, lambda data: data["k"].update(s="ETHUSDT"), "not that of the bar"),
        (StreamKind.DEPTH, lambda data: data.update(U=34), "`U` is greater than `u`"),
        (StreamKind.DEPTH, lambda data: data["b"].append(["1.40", "1"]), "has a price twice"),
    ],
)
def test_what_contradicts_itself_or_its_stream_is_refused(
    kind: StreamKind, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    sample = of(Market.SPOT, kind)
    with pytest.raises(BadMessage, match=reason):
        event_of(sample, _changed(change)(sample))


def test_a_symbol_that_no_folder_can_have_is_refused() -> None:
    sample = of(Market.SPOT, StreamKind.AGG_TRADE)
    body = sample.body.replace(b"BTCUSDT", b"A/B").replace(b"btcusdt", b"a/b")
    with pytest.raises(BadMessage, match="its symbol or interval"):
        event_of(sample, body)
    bars = of(Market.SPOT, StreamKind.KLINE)
    with pytest.raises(BadMessage, match="its symbol or interval"):
        event_of(bars, bars.body.replace(b"1m", b"7m"))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (StreamKind.KLINE, lambda data: data["k"].update(x=False)),
        (StreamKind.TRADE, lambda data: data.update(q="0", p="0", X="NA")),
        (StreamKind.TRADE, lambda data: data.update(e="serverShutdown")),
    ],
)
def test_what_is_no_row_by_its_nature_is_none(
    kind: StreamKind, change: Callable[[dict[str, Any]], object]
) -> None:
    sample = of(Market.FUTURES_UM, kind)
    assert event_of(sample, _changed(change)(sample)) is None
    assert event_of(sample, b'{"result":null,"id":1}') is None
    assert event_of(sample, b'{"e":"serverShutdown","E":1778241600100}') is None


def test_a_message_that_was_fetched_has_no_symbol_and_one_that_came_must_have_it() -> None:
    fetched = next(each for each in SAMPLES if each.connection == 0)
    came = LiveMessage(RECEIVED_US, 1, fetched.body)
    with pytest.raises(BadMessage, match="`e` is not that of its stream"):
        LiveRows(fetched.header).event_of(came)


def test_months_are_spelled_as_in_the_archive_and_times_may_be_in_either_unit() -> None:
    bars = of(Market.SPOT, StreamKind.KLINE)
    event = event_of(bars, bars.body.replace(b"1m", b"1M"))
    assert event is not None
    assert event.series.interval == "1mo"
    aggs = of(Market.SPOT, StreamKind.AGG_TRADE)
    event = event_of(aggs, aggs.body.replace(str(T_US).encode(), str(T_MS).encode()))
    assert event is not None
    assert event.rows == aggs.rows


def test_a_change_of_no_level_has_no_rows() -> None:
    sample = of(Market.FUTURES_UM, StreamKind.DEPTH)
    event = event_of(sample, _changed(lambda data: data.update(a=[], b=[]))(sample))
    assert event is not None
    assert event.rows == []


def test_every_kind_is_read() -> None:
    assert {sample.kind for sample in SAMPLES} == set(StreamKind)
    for kind in StreamKind:
        assert LiveRows(header_of(Market.FUTURES_UM, kind))
