"""Fetch trades and bars that did not come over a stream, by their ids or open times."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from attrs import define, frozen

from crypto_lakehouse.core.errors import HostRefusedError, TransferError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.live.chain import Gap
from crypto_lakehouse.live.gap_sources import GapSource, gap_source
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.rest import RestClient
from crypto_lakehouse.segments.live_writer import MESSAGE_BYTES

__all__ = ["FilledGap", "GapFiller"]

#: A larger gap is no loss on the way: an id is wrong, or the recording stood still for hours.
_MOST_IDS = 1_000_000

#: A larger row, which no exchange sends, is missing: its line in a segment has the stream, too.
_LARGEST = MESSAGE_BYTES - 8192

#: So many rows are handed on at once: a hundred have some 20 kB.
_MOST_HELD = 20_000


@frozen
class FilledGap:
    """What became of a part of a gap.

    Attributes:
        part: The part.
        rows: The text of each row that was fetched, in the order of ids.
        requests: The address of each request, with its parameters.
        holes: What is still missing.
        cause: Why; empty if nothing is missing.
    """

    part: Gap
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

    async def fill(self, stream: LiveStream, gap: Gap) -> AsyncGenerator[FilledGap, None]:
        """Fetch the rows of a gap; nothing is asked if the stream has no source.

        Yields:
            What became of each part of the gap, in the order of ids: a large one is never in memory
            as a whole.
        """
        found: dict[int, bytes] = {}
        requests: list[str] = []
        source = gap_source(stream)
        if source is None:
            yield FilledGap(gap, [], [], [gap], "its messages cannot be fetched")
            return
        cause, after = source.lack, gap.after
        if (gap.until - gap.after) // source.step > _MOST_IDS:
            cause = f"more than {_MOST_IDS:,} ids are not fetched"
        else:
            try:
                async for response, rows in self._pages(stream, source, gap):
                    requests.append(response.request)
                    found |= rows
                    if len(found) >= _MOST_HELD:
                        part = Gap(after, max(found))
                        yield _filled(part, found, source.step, requests, source.lack)
                        after, found, requests = part.until, {}, []
            except (TransferError, HostRefusedError) as error:
                cause = str(error)
        if after < gap.until:
            yield _filled(Gap(after, gap.until), found, source.step, requests, cause)

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
            texts = {key: _text(row) for key, row in rows.items() if key in wanted}
            yield response, {key: each for key, each in texts.items() if len(each) <= _LARGEST}
            if not source.first or not rows or max(rows) < first:
                return
            first = max(rows) + source.step


def _filled(
    part: Gap, found: Mapping[int, bytes], step: int, requests: list[str], cause: str
) -> FilledGap:
    """What became of a part of a gap; `cause` is why rows are missing, if some are."""
    holes = [*_missing(part, found, step)]
    rows = [found[key] for key in sorted(found)]
    return FilledGap(part, rows, requests, holes, cause if holes else "")


def _text(row: Any) -> bytes:
    """The text of a row; the decimals are text there already."""
    return json.dumps(row, separators=(",", ":")).encode()


def _missing(gap: Gap, found: Mapping[int, bytes], step: int) -> Iterator[Gap]:
    """The ranges of a gap of which no row was found."""
    last = gap.after
    for key in sorted(found):
        if key > last + step:
            yield Gap(last, key - step)
        last = key
    if last < gap.until:
        yield Gap(last, gap.until)
