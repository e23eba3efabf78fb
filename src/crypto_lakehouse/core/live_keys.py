"""Names of the segments of recordings: of a market, a kind of stream and at most an hour."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from crypto_lakehouse.core.data_types import Market
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.stream_kinds import StreamKind

__all__ = [
    "check_live_name",
    "live_begin",
    "live_folder",
    "live_key",
    "live_name",
    "live_name_of",
    "live_stream_at",
    "live_stream_of",
]

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)(\d\d)-[0-9a-f]{8}", re.ASCII)


def live_name(begun_at: datetime, recording: str) -> str:
    """The name of a segment, without the kind of stream and the suffix.

    Args:
        begun_at: The time of its first line.
        recording: The id of the recording, of which the first 8 digits are used.

    Examples:
        >>> live_name(datetime(2026, 5, 8, 12, 0, 3, tzinfo=UTC), "9f3c01ab55")
        '2026-05-08T12-0003-9f3c01ab'
    """
    return f"{begun_at.astimezone(UTC):%Y-%m-%dT%H-%M%S}-{recording[:8]}"


def check_live_name(name: str) -> None:
    """Raise an error if a text cannot be the name of a segment, as `live_name` makes it.

    Raises:
        ArchiveKeyError: It has another form, or names no time of the calendar.
    """
    match = _NAME.fullmatch(name)
    try:
        if match is None:
            raise ValueError(name)
        datetime.fromisoformat("{} {}:{}:{}".format(*match.groups()))
    except ValueError:
        reason = "a segment is named YYYY-MM-DDTHH-MMSS and 8 hexadecimal digits of the recording"
        raise ArchiveKeyError(name, reason) from None


def live_key(market: Market, kind: StreamKind, name: str) -> str:
    """The object key of a segment.

    Args:
        market: The market.
        kind: The kind of stream.
        name: As `live_name` makes it.

    Examples:
        >>> live_key(Market.SPOT, StreamKind.TRADE, "2026-05-08T12-0003-9f3c01ab")
        'live/spot/trade/2026-05-08/trade-2026-05-08T12-0003-9f3c01ab.jsonl.zst'
    """
    return f"{live_folder(market, kind)}{name[:10]}/{kind}-{name}{Origin.LIVE.suffix}"


def live_folder(market: Market, kind: StreamKind) -> str:
    """The beginning of the object keys of all segments of a market and a kind of stream.

    Examples:
        >>> live_folder(Market.SPOT, StreamKind.TRADE)
        'live/spot/trade/'
    """
    return f"{Origin.LIVE.folder}/{market.path}/{kind}/"


def live_name_of(key: str) -> str:
    """The name of a segment, as `live_name` makes it, from its object key.

    Examples:
        >>> live_name_of("live/spot/trade/2026-05-08/trade-2026-05-08T12-0003-9f3c01ab.jsonl.zst")
        '2026-05-08T12-0003-9f3c01ab'
    """
    file = key.rpartition("/")[2].removesuffix(Origin.LIVE.suffix)
    return file.partition("-")[2]


def live_begin(key: str) -> datetime:
    """The time of a segment's first line, to the second, from its object key.

    Examples:
        >>> str(live_begin(live_key(Market.SPOT, StreamKind.TRADE, "2026-05-08T12-0003-9f3c01ab")))
        '2026-05-08 12:00:03+00:00'

    Raises:
        ArchiveKeyError: It is not named as a segment.
    """
    name = live_name_of(key)
    check_live_name(name)
    return datetime.strptime(name[:18] + "+0000", "%Y-%m-%dT%H-%M%S%z")


_STREAMS = {live_folder(market, kind): (market, kind) for market in Market for kind in StreamKind}


def live_stream_at(key: str) -> tuple[Market, StreamKind] | None:
    """The market and the kind of stream in whose folder a key is, whatever its name; None if none.

    Examples:
        >>> live_stream_at("live/futures/um/depth/2026-05-09/copy of a segment.jsonl.zst")
        (<Market.FUTURES_UM: 'futures_um'>, <StreamKind.DEPTH: 'depth'>)
        >>> live_stream_at("live/spot/daily/trades/BTCUSDT/x.jsonl.zst")
    """
    parts = key.split("/")
    depth = 4 if parts[1:2] == ["futures"] else 3
    return _STREAMS.get("/".join(parts[:depth]) + "/")


def live_stream_of(key: str) -> tuple[Market, StreamKind] | None:
    """The market and the kind of stream of a segment, from its object key; None if it is none.

    Examples:
        >>> key = "live/spot/trade/2026-05-08/trade-2026-05-08T12-0003-9f3c01ab.jsonl.zst"
        >>> live_stream_of(key)
        (<Market.SPOT: 'spot'>, <StreamKind.TRADE: 'trade'>)
        >>> live_stream_of("live/spot/trade/2026-05-09/copy of a segment.jsonl.zst")
        >>> live_stream_of("data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2026-05-08.zip")
    """
    stream = live_stream_at(key)
    if stream is None:
        return None
    name = live_name_of(key)
    try:
        check_live_name(name)
    except ArchiveKeyError:
        return None
    return stream if live_key(*stream, name) == key else None
