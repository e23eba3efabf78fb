"""Resume a large body with a range request (RFC 9110, sections 13.1.5 and 14).

1. An earlier attempt left the beginning of a body, and the object's ETag and date.
2. `Range` requests the rest; `If-Range` requests the whole object instead if it has changed.
3. A 206 response continues the part only if it begins at the right byte of the same object.
   A 416 response to a part that has all bytes means that no byte is missing.
"""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.collection.download.bodies import PartBody
from crypto_lakehouse.collection.download.byte_ranges import content_range
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.http.transport import Response

__all__ = ["UnfinishedBody", "validator_of", "validators"]


@frozen
class UnfinishedBody:
    """The beginning of a body, and the validators to request the rest with."""

    body: PartBody
    known: ObjectFacts

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are there, and only the verification is missing."""
        return self.body.size_bytes == self.known.size_bytes

    @property
    def headers(self) -> dict[str, str]:
        """Headers that request the rest of the object that the part began as."""
        validator = validator_of(self.known) or ""
        return {"Range": f"bytes={self.body.size_bytes}-", "If-Range": validator}

    def mismatch(self, response: Response) -> str:
        """Why a 206 response does not continue this body; empty if it does."""
        sent = content_range(response)
        if sent is None or sent.start != self.body.size_bytes:
            return "it sent another range"
        if response.size_bytes not in {None, sent.stop - sent.start}:
            return "it sent another range than it says"
        size = self.known.size_bytes
        if size is not None and (sent.stop > size or sent.total not in {None, size}):
            return "its size is another"
        return "" if self.known.etag == validators(response)[0] else "its ETag is another"

    def is_all_of(self, response: Response) -> bool:
        """Whether a 416 response says that the object has no more bytes (section 15.5.17)."""
        return response.headers.get("Content-Range") == f"bytes */{self.body.size_bytes}"


def validators(response: Response) -> tuple[str | None, str | None]:
    """Return ETag and date of a response, as far as they can be stored and sent back."""
    return _ascii(response.headers.get("ETag")), _ascii(response.headers.get("Last-Modified"))


def _ascii(value: str | None) -> str | None:
    """Return a header's value if it is ASCII; others cannot safely be stored or sent back."""
    return value if value and value.isascii() else None


def validator_of(known: ObjectFacts) -> str | None:
    """Return a value for If-Range: a strong ETag, or a date; None if there is neither."""
    strong = known.etag if known.etag and not known.etag.startswith("W/") else None
    return strong or known.last_modified
