"""Messages that cannot be read are refused by name, and the series goes on."""

from __future__ import annotations

import pytest

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.series import LiveSeries
from crypto_lakehouse.live.streams import LiveStream

GOOD = {
    StreamKind.AGG_TRADE: (b'{"a":7}', b'{"a":8}'),
    StreamKind.TRADE: (b'{"t":7}', b'{"t":8}'),
    StreamKind.KLINE: (b'{"k":{"t":60000000,"x":true}}', b'{"k":{"t":120000000,"x":true}}'),
    StreamKind.DEPTH: (
        b'{"s":"BTCUSDT","U":6,"u":7,"b":[],"a":[]}', b'{"s":"BTCUSDT","U":8,"u":9,"b":[],"a":[]}',
    ),
}  # fmt: skip

BAD = (
    b"", b"{", b"\xff", b"null", b"[]", b"7", b"{}", b"[" * 100_000, b'"a"',
    *(b'{"a":%b,"t":%b,"U":%b,"u":1,"k":{"t":%b,"x":true}}' % ((value,) * 4) for value in (
        b"null", b'"8"', b"-8", b"8.0", b"true", b"[8]", b"1" * 20, b"1" * 5000,
    )),
    b'{"U":9,"u":7,"k":{"t":8},"a":1e400}',
)  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad[:24])
def test_a_bad_message_is_refused_and_the_next_one_is_taken(kind: StreamKind, bad: bytes) -> None:
    interval = "1m" if kind is StreamKind.KLINE else ""
    series = LiveSeries(LiveStream(Market.SPOT, kind, "BTCUSDT", interval))
    first, second = (b'{"data":%b}' % each for each in GOOD[kind])
    series.take(first, 0.0)
    for each in (bad, b'{"data":%b}' % bad):
        with pytest.raises(ValueError, match=r"."):
            series.take(each, 0.0)
    series.take(second, 0.0)
    assert series.chain is not None
    assert (series.messages, series.duplicates) == (4, 0)
    assert series.chain.break_at(99.0, 3.0) is None
