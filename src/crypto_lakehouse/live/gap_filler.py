"""Fetch trades that did not come over a stream, by their ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import DataType, Series
from crypto_lakehouse.core.errors import HostRefusedError, TransferError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.chain import Gap
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.rest import RestClient, fill_endpoints
from crypto_lakehouse.rest.answers import shape_of
from crypto_lakehouse.segments.fill_segment import FillResponse

__all__ = ["FilledGap", "GapFiller", "is_fillable"]

#: A larger gap is no loss on the way: an id is wrong, or the recording stood still for hours.
_MOST_IDS = 1_000_000


def is_fillable(stream: LiveStream) -> bool:
    """Whether an endpoint gives the messages of a stream by their ids, without a key."""
    return stream.kind is StreamKind.AGG_TRADE


@frozen
class FilledGap:
    """What became of a gap.

    Attributes:
        rows: The text of each row that was fetched, in the order of ids.
        requests: The address of each request, with its parameters.
        holes: What is still missing.
        cause: Why; empty if nothing is missing.
    """

    rows: list[bytes]
    requests: list[str]
    holes: list[Gap]
    cause: str


@define
class GapFiller:
    """Fetches what is missing from the exchange's API.

    Attributes:
        client: Asks the exchange.
        refused: The host's refusal, after which nothing more is asked.
    """

    client: RestClient
    refused: HostRefusedError | None = field(init=False, default=None)

    async def fill(self, stream: LiveStream, gap: Gap) -> FilledGap:
        """Fetch the rows of a gap."""
        found: dict[int, bytes] = {}
        requests: list[str] = []
        cause = ""
        if gap.until - gap.after > _MOST_IDS:
            cause = f"more than {_MOST_IDS:,} ids are not fetched"
        elif self.refused is not None:
            cause = str(self.refused)
        else:
            try:
                async for response, rows in self._pages(stream, gap):
                    query = "&".join(f"{name}={value}" for name, value in response.params.items())
                    requests.append(f"{response.url}?{query}")
                    found |= rows
            except HostRefusedError as error:
                self.refused = error
                cause = str(error)
            except TransferError as error:
                cause = str(error)
        holes = list(_missing(gap, found))
        if holes and not cause:
            cause = "the exchange's API does not have them"
        ordered = [found[key] for key in sorted(found)]
        return FilledGap(ordered, requests, holes, cause if holes else "")

    async def _pages(self, stream: LiveStream, gap: Gap) -> Any:
        """Yield each response with the rows of the gap, by id."""
        series = Series(stream.market, DataType.AGG_TRADES, stream.symbol)
        [endpoint] = fill_endpoints(series)
        shape = shape_of(series.data_type, endpoint.path, series.symbol)
        first = gap.first
        while first <= gap.until:
            limit = min(endpoint.most, gap.until - first + 1)
            response, rows = await self.client.get(
                stream.market, endpoint, {"fromId": first}, limit, shape.rows
            )
            yield response, _texts(response, first, gap.until)
            if not rows or rows[-1].key < first:
                return
            first = rows[-1].key + 1


def _texts(response: FillResponse, first: int, last: int) -> dict[int, bytes]:
    """The rows of an answer in their range, as text; the decimals are text there already."""
    return {
        row["a"]: json.dumps(row, separators=(",", ":")).encode()
        for row in parse_finite(response.body)
        if first <= row["a"] <= last
    }


def _missing(gap: Gap, found: dict[int, bytes]) -> Iterator[Gap]:
    """The ranges of a gap of which no row was found."""
    last = gap.after
    for key in sorted(found):
        if key > last + 1:
            yield Gap(last, key - 1)
        last = key
    if last < gap.until:
        yield Gap(last, gap.until)
