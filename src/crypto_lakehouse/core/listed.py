"""The contents of a source's listing: objects, folders, and pages of both."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from attrs import frozen

from crypto_lakehouse.core.object_facts import ObjectFacts

__all__ = [
    "ListedArchive",
    "ListedObject",
    "ListingPage",
    "header_date",
    "md5_of_etag",
    "moment_of",
    "same_etag",
    "same_moment",
]

_MD5 = re.compile(r"[0-9a-f]{32}")


@frozen
class ListedObject:
    """One object of a listing.

    Attributes:
        key: Decoded, as `data/.../NAME.zip`.
        size_bytes: The object's size.
        etag: As in the listing, with quotes; None if it is absent.
        last_modified: As in the listing, ISO 8601 with `Z`; None if it is absent.
    """

    key: str
    size_bytes: int
    etag: str | None
    last_modified: str | None


@frozen
class ListingPage:
    """One page of a listing; objects and folders are in the order of their UTF-8 bytes.

    Attributes:
        folders: Common prefixes, with a trailing slash; only if a delimiter was sent.
        has_more: Whether there are further pages.
    """

    objects: tuple[ListedObject, ...]
    folders: tuple[str, ...]
    has_more: bool


@frozen(kw_only=True)
class ListedArchive:
    """What a listing says about one archive and its sidecar.

    Attributes:
        size_bytes, etag, last_modified: The zip's; as in `ListedObject`.
        sidecar_etag: The sidecar's ETag; None if no sidecar with an ETag is listed.
        sidecar_bytes: The sidecar's size; 0 if no sidecar is listed.
    """

    size_bytes: int
    etag: str | None = None
    last_modified: str | None = None
    sidecar_etag: str | None = None
    sidecar_bytes: int = 0

    def over(self, facts: ObjectFacts) -> ObjectFacts:
        """What is known of a stored object that is the listed one: the listing's word, if any."""
        return facts._replace(
            etag=self.etag or facts.etag,
            last_modified=self.last_modified or facts.last_modified,
            sidecar_etag=self.sidecar_etag or facts.sidecar_etag,
        )


def md5_of_etag(etag: str | None) -> str | None:
    """Return the MD5 that is an object's ETag; None if the ETag is weak, multipart or absent.

    Source: Amazon S3, a single-part upload's ETag is the MD5 of its bytes; docs/archive.md#etags.
    """
    text = (etag or "").strip('"').lower()
    return text if _MD5.fullmatch(text) else None


def same_etag(one: str | None, other: str | None) -> bool:
    """Whether two ETags name the same object; quotes and `W/` are ignored.

    Caches between source and client may mark an ETag as weak.
    """
    return one is not None and other is not None and _bare(one) == _bare(other)


@lru_cache(maxsize=65_536)
def moment_of(text: str | None) -> datetime | None:
    """Parse a Last-Modified of a header (RFC 9110) or a listing (ISO 8601).

    Returns None if it is neither. Fractions are dropped, as headers have whole seconds.
    """
    try:
        moment: datetime | None = datetime.fromisoformat(text or "")
    except ValueError:
        moment = header_date(text or "")
    return moment.replace(microsecond=0) if moment is not None and moment.tzinfo else None


def header_date(text: str) -> datetime | None:
    """Parse a date of a header (RFC 9110, section 5.6.7); None if the text is not one."""
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def same_moment(one: str | None, other: str | None) -> bool:
    """Whether two Last-Modified texts mean the same second; an absent one matches any."""
    if one == other or one is None or other is None:
        return True
    return moment_of(one) == moment_of(other)


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"').lower()
