"""A segment is split into the rows of each series and day: sorted, each key once, none lost."""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.segments.live_samples import RECEIVED_US, SAMPLES, T_US, Sample, header_of

from crypto_lakehouse.core.archive import Archive, Market, Origin
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_segment import (
    LiveHeader,
    LiveMark,
    LiveMessage,
    header_line,
    live_sidecar,
    mark_line,
    message_text,
)
from crypto_lakehouse.tables.live.excerpts import Split, excerpt_text, split_segment
from crypto_lakehouse.tables.live.segment_rows import DIFFERING
from crypto_lakehouse.tables.reading.parse import frame_of
from crypto_lakehouse.tables.schema.received import excerpt_columns
from crypto_lakehouse.tables.schema.schemas import schema_of

SPOT, UM, CM, _ = Market
DAY_US = 86_400_000_000
MIDNIGHT_US = 1_778_198_400_000_000  # 2026-05-08


def segment_of(header: LiveHeader, lines: Iterable[LiveMessage | LiveMark]) -> bytes:
    """The bytes of a segment, in frames of a few lines."""
    parts, text = [], header_line(header)
    for number, line in enumerate(lines):
        if isinstance(line, LiveMark):
            text += mark_line(line)
        else:
            text += b"[%d,%d,%b]\n" % (line[0], line[1], message_text(line.body))
        if number % 3 == 0:
            parts.append(zstandard.compress(text))
            text = b""
    return b"".join([*parts, zstandard.compress(text)])


def split(
    header: LiveHeader, lines: Iterable[LiveMessage | LiveMark], folder: Path, **options: Any
) -> Split:
    data = segment_of(header, lines)
    sidecar = live_sidecar(header.key, hashlib.sha256(data).hexdigest())
    return split_segment(io.BytesIO(data), header.key, sidecar, folder, **options)


def texts(found: Split) -> dict[str, list[str]]:
    """The rows of each excerpt, by its symbol and day."""
    return {
        f"{each.archive.symbol} {each.archive.period}": b"".join(excerpt_text(each.path))
        .decode()
        .splitlines()
        for each in found.excerpts
    }


@pytest.mark.parametrize(
    "sample", SAMPLES, ids=lambda each: f"{each.market} {each.stream} {each.connection}"
)
def test_the_rows_of_a_message_are_those_that_the_table_reads(
    sample: Sample, tmp_path: Path
) -> None:
    found = split(sample.header, [sample.message(), sample.message(RECEIVED_US + 9)], tmp_path)
    [excerpt] = found.excerpts
    assert excerpt.archive.series == sample.series
    assert str(excerpt.archive.period) == "2026-05-08"
    assert excerpt.archive.segment_key == sample.header.key
    assert Archive.parse(excerpt.archive.key) == excerpt.archive
    text = b"".join(excerpt_text(excerpt.path))
    lines = text.decode().splitlines()
    assert sorted(lines) == sorted(f"{row},{RECEIVED_US}" for row in sample.rows)
    assert (excerpt.rows, found.messages, found.copies, dict(found.bad)) == (
        len(sample.rows), 2, 1, {},
    )  # fmt: skip
    schema = schema_of(excerpt.archive)
    frame = frame_of(text, excerpt.rows, excerpt_columns(schema), "us", exact=True)
    assert frame.equals(frame.sort(schema.key))
    first, last = frame.select(schema.key).row(0), frame.select(schema.key).row(-1)
    for key, row in ((excerpt.first_key, first), (excerpt.last_key, last)):
        assert [value for value in key if not isinstance(value, int)] == [
            value for value in row if isinstance(value, str | Decimal)
        ]
    assert excerpt.first_time_us <= excerpt.last_time_us


def _agg(symbol: str, number: int, price: str, at_us: int) -> bytes:
    data = {
        "e": "aggTrade", "E": at_us, "s": symbol, "a": number, "p": price, "q": "1", "f": number,
        "l": number, "T": at_us, "m": False, "M": True,
    }  # fmt: skip
    return json.dumps({"stream": f"{symbol.lower()}@aggTrade", "data": data}).encode()


#: The number of a trade, whether it is copied wrongly, its symbol, and what comes instead.
events = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["1.0", "1.00", "2"]),
        st.sampled_from(["BTCUSDT", "ETHUSDT", "币安USDT"]),
        st.none() | st.sampled_from([b"{", b"[]", b'{"stream":"x@trade"}']),
    ),
    max_size=40,
)


@given(events, st.sampled_from([1, 200, 1000, 1 << 20]))
@settings(max_examples=examples(40), deadline=None)
def test_any_messages_are_split_as_by_a_plain_model(
    each: list[tuple[int, str, str, bytes | None]], batch_bytes: int
) -> None:
    lines: list[LiveMessage | LiveMark] = []
    model: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
    copies = bad = differing = 0
    for at, (number, price, symbol, instead) in enumerate(each):
        received = RECEIVED_US + at
        at_us = MIDNIGHT_US + (number - 6) * 1_000_000
        body = _agg(symbol, number, price, at_us) if instead is None else instead
        lines.append(LiveMessage(received, at % 2 + 1, body))
        if instead is not None:
            bad += 1
            continue
        day = "2026-05-07" if number < 6 else "2026-05-08"
        rows = model[f"{symbol} {day}"]
        if number in rows:
            copies += 1
            differing += Decimal(rows[number][1]) != Decimal(price)
            continue
        rows[number] = f"{number},{price},1,{number},{number},{at_us},false,true,{received}", price
    with TemporaryDirectory() as folder:
        found = split(
            header_of(SPOT, StreamKind.AGG_TRADE), lines, Path(folder), batch_bytes=batch_bytes
        )
        assert texts(found) == {
            place: [rows[number][0] for number in sorted(rows)] for place, rows in model.items()
        }
        for excerpt in found.excerpts:
            numbers = sorted(model[f"{excerpt.archive.symbol} {excerpt.archive.period}"])
            assert (excerpt.first_key, excerpt.last_key) == ((numbers[0],), (numbers[-1],))
            assert excerpt.rows == len(numbers)
            assert excerpt.archive.origin is Origin.LIVE
        assert sorted(Path(folder).iterdir()) == sorted(item.path for item in found.excerpts)
    assert (found.messages, found.copies) == (len(lines), copies)
    counted = {reason: item.messages for reason, item in found.bad.items()}
    assert counted.pop(DIFFERING, 0) == differing
    assert sum(counted.values()) == bad


def _depth(update_id: int, bids: list[list[str]]) -> bytes:
    data = {
        "e": "depthUpdate", "E": T_US, "s": "BTCUSDT", "U": update_id - 2, "u": update_id,
        "b": bids, "a": [],
    }  # fmt: skip
    return json.dumps({"stream": "btcusdt@depth", "data": data}).encode()


@pytest.mark.parametrize("batch_bytes", [1, 1 << 20])
def test_of_two_changes_of_a_book_with_one_id_the_first_stands_whole(
    batch_bytes: int, tmp_path: Path
) -> None:
    bodies = [
        _depth(10, [["9.5", "1"], ["10.5", "2"]]),
        _depth(10, [["10.50", "2.0"], ["9.5", "1"]]),  # a copy
        _depth(10, [["9.5", "1"], ["11", "2"]]),
        _depth(7, [["8", "0"]]),
    ]
    lines = [LiveMessage(RECEIVED_US + at, 1, body) for at, body in enumerate(bodies)]
    header = header_of(SPOT, StreamKind.DEPTH)
    found = split(header, lines, tmp_path, batch_bytes=batch_bytes)
    assert texts(found)["BTCUSDT 2026-05-08"] == [
        f"5,7,{T_US},bid,8,0,{RECEIVED_US + 3}",
        f"8,10,{T_US},bid,9.5,1,{RECEIVED_US}",
        f"8,10,{T_US},bid,10.5,2,{RECEIVED_US}",
    ]
    assert found.copies == 2
    assert [(reason, bad.messages, bad.line) for reason, bad in found.bad.items()] == [
        (DIFFERING, 1, 4)
    ]
    [excerpt] = found.excerpts
    assert excerpt.last_key == (10, "bid", Decimal("10.5"))


def test_bad_messages_are_counted_by_reason_with_the_first_and_holes_are_named(
    tmp_path: Path,
) -> None:
    gap = LiveMark(RECEIVED_US, "gap", {"stream": "btcusdt@aggTrade", "first": 5, "last": 9})
    lines: list[LiveMessage | LiveMark] = [
        LiveMark(RECEIVED_US, "connected", {}),
        LiveMessage(RECEIVED_US, 1, b"{1"),
        gap,
        LiveMessage(RECEIVED_US, 1, b"{2\x1b"),
        LiveMark(RECEIVED_US + 5, "end", {"messages": 2}),
    ]
    found = split(header_of(UM, StreamKind.AGG_TRADE), lines, tmp_path)
    [(reason, bad)] = found.bad.items()
    assert (reason, bad.messages, bad.line, bad.example) == ("it is no JSON", 2, 3, "{1")
    assert found.holes == (gap,)
    assert found.ended_at_us == RECEIVED_US + 5
    assert found.excerpts == ()


@pytest.mark.parametrize("received_us", [0, 5, RECEIVED_US // 1000, 10**17, 10**18 - 1])
def test_a_message_that_was_received_at_no_possible_time_is_no_row(
    received_us: int, tmp_path: Path
) -> None:
    samples = [each for each in SAMPLES if each.kind is StreamKind.BOOK_TICKER]
    for number, sample in enumerate(samples):
        folder = tmp_path / str(number)
        folder.mkdir()
        lines: list[LiveMessage | LiveMark] = [sample.message(), sample.message(received_us)]
        lines.append(LiveMark(10**17, "x", {}))
        found = split(sample.header, lines, folder)
        assert sum(each.rows for each in found.excerpts) == 1
        assert list(found.bad) == ["it was received at no possible time"]
        assert found.ended_at_us == RECEIVED_US


def test_a_damaged_segment_is_refused(tmp_path: Path) -> None:
    header = header_of(UM, StreamKind.AGG_TRADE)
    data = segment_of(header, [LiveMessage(RECEIVED_US, 1, b"{}")])
    sidecar = live_sidecar(header.key, "0" * 64)
    with pytest.raises(SegmentError, match="SHA-256"):
        split_segment(io.BytesIO(data), header.key, sidecar, tmp_path)
