"""Fetch trades and bars that did not come over a stream, by their ids or open times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attrs import define, frozen

from crypto_lakehouse.core.errors import HostRefusedError, TransferError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.live.chain import Gap
from crypto_lakehouse.live.gap_sources import GapSource, gap_source
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.rest import RestClient

__all__ = ["FilledGap", "GapFiller"]

#: A larger gap is no loss on the way: an id is wrong, or the recording stood still for hours.
_MOST_IDS = 1_000_000


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
    """

    client: RestClient

    async def fill(self, stream: LiveStream, gap: Gap) -> FilledGap:
        """Fetch the rows of a gap; nothing is asked if the stream has no source."""
        found: dict[int, bytes] = {}
        requests: list[str] = []
        cause = ""
        source = gap_source(stream)
        if source is None:
            return FilledGap([], [], [gap], "its messages cannot be fetched")
        if (gap.until - gap.after) // source.step > _MOST_IDS:
            cause = f"more than {_MOST_IDS:,} ids are not fetched"
        else:
            try:
                async for response, rows in self._pages(stream, source, gap):
                    requests.append(response.request)
                    found |= rows
            except (TransferError, HostRefusedError) as error:
                cause = str(error)
        holes = list(_missing(gap, found, source.step))
        if holes and not cause:
            cause = source.lack
        ordered = [found[key] for key in sorted(found)]
        return FilledGap(ordered, requests, holes, cause if holes else "")

    async def _pages(self, stream: LiveStream, source: GapSource, gap: Gap) -> Any:
        """Yield each response with the rows of the gap, by id."""
        first = gap.after + source.step
        while first <= gap.until:
            response, _ = await self.client.get(
                stream.market,
                source.endpoint,
                source.params(first, gap.until),
                source.limit(first, gap.until),
                source.read,
            )
            rows = {row[source.key]: row for row in parse_finite(response.body)}
            wanted = range(first, gap.until + 1, source.step)
            yield response, {key: _text(row) for key, row in rows.items() if key in wanted}
            if not source.first or not rows or max(rows) < first:
                return
            first = max(rows) + source.step


def _text(row: Any) -> bytes:
    """The text of a row; the decimals are text there already."""
    return json.dumps(row, separators=(",", ":")).encode()


def _missing(gap: Gap, found: dict[int, bytes], step: int) -> Iterator[Gap]:
    """The ranges of a gap of which no row was found."""
    last = gap.after
    for key in sorted(found):
        if key > last + step:
            yield Gap(last, key - step)
        last = key
    if last < gap.until:
        yield Gap(last, gap.until)
