"""One very large body over several connections, if the source caps what each of them brings.

The body begins to arrive over one connection, as any other. If that is slow, and the limit has
free places, a second connection requests a range further on; if both together are that much
faster, the rest comes in ranges, over as many connections as pay (`range_scaling`). `parallel_body`
does the work for one body.

Ranges are passed on strictly in order, out of a small window in memory. So the part on the disk
remains a growing prefix of the body: hashed as it grows, and resumed like any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
from attrs import define, field
from yarl import URL

from crypto_lakehouse.collection.download.byte_ranges import OpenResponse, WholeBody
from crypto_lakehouse.collection.download.parallel_body import ParallelBody
from crypto_lakehouse.collection.download.range_scaling import Prospects, RangeRules
from crypto_lakehouse.collection.download.stream_to_part import stream_to_part
from crypto_lakehouse.core.protocols import Part
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.http.transport import Response

__all__ = ["ParallelRanges"]


@define
class ParallelRanges:
    """Fetches large bodies over several connections if that is faster; one for each run.

    Args:
        rules: When further connections are tried, and how many.
        clock: Returns seconds, monotonic.
        sources: What is known of each origin; further ones are added.
    """

    rules: RangeRules = field(factory=RangeRules)
    clock: Callable[[], float] = time.monotonic
    sources: dict[URL, Prospects] = field(factory=dict)

    def may_pay(self, url: URL, response: Response, held_bytes: int) -> bool:
        """Whether a body could come in ranges, and is large enough for them to pay.

        Args:
            url: Its URL.
            response: Its response, which has just begun.
            held_bytes: How many bytes of the body came earlier.
        """
        etag = response.headers.get("ETag", "")
        has_ranges = response.status == 206 or response.headers.get("Accept-Ranges") == "bytes"
        rest = response.size_bytes or 0
        is_large = (
            rest + held_bytes >= self.rules.least_bytes and rest >= self.rules.least_rest_bytes
        )
        is_strong = etag.startswith('"') and etag.isascii()
        return is_large and has_ranges and is_strong and not self._prospects(url).are_none

    async def stream_to_part(self, first: OpenResponse, part: Part, whole: WholeBody) -> None:
        """Append the rest of a body to a part, as the function `stream_to_part` does.

        Args:
            first: The rest of the body, over the first connection.
            part: Has the bytes before it; it stays open.
            whole: The body.

        Raises:
            ObjectChanged: The source has another object now.
            TransferError: The body broke off, or a range failed after all retries.
            StoreError: The part cannot be written.
        """
        prospects = self._prospects(whole.url)
        with one_error():
            async with anyio.create_task_group() as tasks:
                body = ParallelBody(
                    first, part.size_bytes, whole, self.rules, self.clock, prospects, tasks
                )
                try:
                    await stream_to_part(
                        body, part, _counted_already, buffer_bytes=self.rules.buffer_bytes
                    )
                finally:
                    body.close()

    def _prospects(self, url: URL) -> Prospects:
        return self.sources.setdefault(url.origin(), Prospects(self.rules.rest_s))


def _counted_already(_size: int) -> None:
    """Do nothing: bytes are counted as they arrive, not as they are passed on."""
