"""The largest size that a body may have, so that no response can fill the disk.

| the size is known by                                | the body may have            |
|-----------------------------------------------------|------------------------------|
| Content-Length, or Content-Range of a resumed body  | exactly that many bytes      |
| the listing alone                                   | as many bytes as it lists    |
| nothing                                             | `LARGEST_BODY_BYTES`         |

No body may have more than `LARGEST_BODY_BYTES`, whatever the source says.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from yarl import URL

from crypto_lakehouse.collection.download.byte_ranges import content_range
from crypto_lakehouse.core.errors import BodyTooLarge
from crypto_lakehouse.http.transport import Response

__all__ = ["LARGEST_BODY_BYTES", "BodyBound"]

#: The publisher's largest archives, months of trades and book tickers, have a few GB
#: (docs/archive.md#file-sizes).
LARGEST_BODY_BYTES = 16 << 30

_UNKNOWN = "no archive of the publisher is as large"
_LISTED = "its size in the listing"
_SENT = "the size in its headers"


@frozen
class BodyBound:
    """How many bytes the rest of a body may have.

    Attributes:
        url: Where the body is, for errors.
        held_bytes: How many bytes of the body came earlier.
        rest_bytes: How many further ones may come.
        reason: Where the bound is from.
    """

    url: URL
    held_bytes: int
    rest_bytes: int
    reason: str

    @classmethod
    def of(
        cls,
        url: URL,
        response: Response,
        held_bytes: int,
        listed_bytes: int | None,
        largest_bytes: int,
    ) -> BodyBound:
        """Return the bound of a body that has just begun.

        Args:
            url: Where the body is.
            response: Its response, 200 or a 206 that continues the held bytes.
            held_bytes: How many bytes of the body came earlier; 0 for a whole one.
            listed_bytes: The archive's size in the listing; None if it is not listed.
            largest_bytes: How many bytes any body may have.

        Raises:
            BodyTooLarge: The body is announced as larger than any may be.
        """
        rest, reason = response.size_bytes, _SENT
        sent = content_range(response) if response.status == 206 else None
        if rest is None and sent is not None:
            rest = sent.stop - sent.start
        if rest is None and listed_bytes is not None:
            rest, reason = listed_bytes, _LISTED
        if rest is None:
            return cls(url, held_bytes, largest_bytes - held_bytes, _UNKNOWN)
        if held_bytes + rest > largest_bytes:
            raise BodyTooLarge(str(url), largest_bytes, _UNKNOWN)
        return cls(url, held_bytes, rest, reason)

    def bounding(self, count: Callable[[int], None]) -> Callable[[int], None]:
        """Return a `count` for the chunks of the body, called before they are stored.

        It raises a `BodyTooLarge`, and does not count, once the body exceeds its bound.
        """
        rest = self.rest_bytes

        def count_bounded(size: int) -> None:
            nonlocal rest
            rest -= size
            if rest < 0:
                most = self.held_bytes + self.rest_bytes
                raise BodyTooLarge(str(self.url), most, self.reason)
            count(size)

        return count_bounded
