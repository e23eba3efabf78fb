"""The requests that the server received, and the statuses it sent."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

__all__ = ["LISTING", "RequestRecord"]

#: A listing request has no key; in the log, in `count` and in `inject` it is named by this word
#: and its decoded prefix: `list:data/spot/daily/`.
LISTING = "list:"


@frozen
class RequestRecord:
    """One request, recorded when its response was decided, before the first byte of it was sent.

    Attributes:
        method: `GET`, `HEAD` or whatever was sent.
        path: The decoded key, without a leading slash and without the bucket's name; a listing
            is `list:` and its prefix.
        headers: The request's headers; names are compared without regard to case.
        status: The status sent; 0 if the connection was cut before one was sent.
        range: The request's Range header, if it had one.
        query: The decoded query, `{}` for objects.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    status: int
    range: str | None = None
    query: Mapping[str, str] = field(factory=dict)
