"""Lines that a pattern reads are those that are read one by one, and have the same rows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.segments.live_samples import RECEIVED_US, SAMPLES, Sample, variants
from tests.tables.live.test_excerpts import split, texts

from crypto_lakehouse.segments.live_rows import BadMessage, LiveRows
from crypto_lakehouse.segments.live_segment import LiveMessage
from crypto_lakehouse.tables.live.line_patterns import LinePatterns, ManyRows
from crypto_lakehouse.tables.live.segment_rows import DIFFERING

_FREQUENT = [
    sample
    for sample in SAMPLES
    if sample.connection and sample.kind in {"aggTrade", "trade", "bookTicker", "kline"}
]


def _bodies(sample: Sample) -> list[bytes]:
    """Compact messages: good ones, another order of fields, and every variant of the payload."""
    turned = dict(reversed(sample.data.items()))
    payloads = [sample.data, sample.data, turned, *variants(sample.data), sample.data]
    streams = [sample.stream] * len(payloads)
    streams += [sample.stream.replace("btc", "eth"), f"{sample.stream}@x", "x@y", "\\", "é@trade"]
    payloads += [sample.data] * (len(streams) - len(payloads))
    bodies = [
        json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()
        for stream, data in zip(streams, payloads, strict=True)
    ]
    return [*bodies, bodies[0] + b" ", bodies[0].replace(b":1", b":01"), b'{"result":null}']


@pytest.mark.parametrize("sample", _FREQUENT, ids=lambda each: f"{each.market} {each.stream}")
def test_a_pattern_reads_what_is_read_line_by_line(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        LiveMessage(RECEIVED_US + at, connection, body)
        for connection in (1, 0, 23)
        for at, body in enumerate(_bodies(sample))
    ]
    reader = LiveRows(sample.header)
    model: dict[str, dict[int, str]] = {}
    bad: Counter[str] = Counter()
    for message in lines:
        try:
            event = reader.event_of(message)
        except BadMessage as error:
            bad[str(error)] += 1
            continue
        for row in event.rows if event is not None else ():
            day = "1970-01-01" if event is None else _day(event.time_us)
            rows = model.setdefault(f"{event.series.symbol} {day}" if event else "", {})
            rows.setdefault(int(row.partition(",")[0]), f"{row},{message.received_at_us}")
    by_pattern = []
    read = LinePatterns.read

    def counting(patterns: LinePatterns, texts: list[str], first: int) -> ManyRows:
        found = read(patterns, texts, first)
        by_pattern.append(len(texts) - len(found.others))
        return found

    monkeypatch.setattr(LinePatterns, "read", counting)
    found = split(sample.header, lines, tmp_path)
    assert texts(found) == {
        place: [rows[key] for key in sorted(rows)] for place, rows in model.items()
    }
    counted = {reason: each.messages for reason, each in found.bad.items() if reason != DIFFERING}
    assert counted == bad
    assert sum(by_pattern) > 3


def _day(time_us: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time_us / 1_000_000, UTC):%Y-%m-%d}"
