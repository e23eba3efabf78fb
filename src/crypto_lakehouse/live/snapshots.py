"""Fetch the snapshots of order books, on which recorded diffs stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, frozen

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.books import check_snapshot
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.rest import API_OF, RestClient
from crypto_lakehouse.rest.answers import Faulty
from crypto_lakehouse.rest.endpoints import Endpoint
from crypto_lakehouse.segments.live_writer import MESSAGE_BYTES

__all__ = ["SNAPSHOT_LEVELS", "Snapshot", "SnapshotFetcher"]

#: The levels of each side. Spot has up to 5,000, which cost five times as much.
SNAPSHOT_LEVELS = 1000

#: Of a response: its line in a segment has the stream and the address, too.
_LARGEST = MESSAGE_BYTES - 8192

_WEIGHTS = {Market.SPOT: 50, Market.FUTURES_UM: 20, Market.FUTURES_CM: 20}


@frozen
class Snapshot:
    """An order book as the exchange's API gave it.

    Attributes:
        value: The response.
        message: The line of the segment: the response as it came, with the address of the request.
    """

    value: Mapping[str, Any]
    message: bytes


@define
class SnapshotFetcher:
    """Asks the exchange's API for order books.

    Attributes:
        client: Asks the exchange.
    """

    client: RestClient

    async def fetch(self, stream: LiveStream) -> Snapshot:
        """Fetch the book of a symbol.

        Raises:
            TransferError: There is no usable answer.
            HostRefusedError: The host refuses this machine.
        """
        endpoint = Endpoint(
            path=f"{API_OF[stream.market].prefix}/depth",
            params={"symbol": stream.symbol},
            steps=((SNAPSHOT_LEVELS, _WEIGHTS[stream.market]),),
            most=SNAPSHOT_LEVELS,
        )
        response, value = await self.client.get(stream.market, endpoint, {}, SNAPSHOT_LEVELS, _read)
        name = LiveStream(stream.market, StreamKind.DEPTH_SNAPSHOT, stream.symbol).name
        message = f'{{"stream":"{name}","request":"{response.request}","data":{response.body}}}'
        return Snapshot(value, message.encode())


def _read(body: bytes) -> dict[str, Any]:
    if len(body) > _LARGEST:
        size = plural(len(body), "byte", form=",")
        raise Faulty(f"it has {size}, and no more than {_LARGEST:,} are kept")
    try:
        value: dict[str, Any] = parse_finite(body)
        check_snapshot(value)
    except ValueError as fault:
        raise Faulty(f"it is no order book: {fault}") from None
    return value
