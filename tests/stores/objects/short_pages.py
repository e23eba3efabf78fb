"""Pages of a listing with a few keys, as S3 permits, and what follows them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import define, evolve, field
from tests.services.fault_proxy import Answer, Forward, Request

__all__ = ["ShortPages"]

_ENTRY = re.compile(
    rb"<(Contents|CommonPrefixes|Blob|BlobPrefix)>.*?<(?:Key|Prefix|Name)>(.*?)<.*?</\1>", re.DOTALL
)
_NO_MORE = re.compile(
    rb"<IsTruncated>false</IsTruncated>|<NextMarker\s*/>|<NextMarker></NextMarker>"
)


@define
class ShortPages:
    """A fault: no page of a listing has more than so many keys.

    Args:
        keys: How many keys a page has.
        lie: The answer to each request for a page that is not the first one; None for that page.
    """

    keys: int
    lie: Answer | None = None
    _rests: dict[str, Answer] = field(factory=dict)

    def __call__(self, request: Request, forward: Forward) -> Answer | None:
        """Answer a request."""
        if request.kind != "list":
            return forward()
        token = _token(request.query)
        if token not in self._rests:
            return self._page(forward())
        return self.lie or self._page(self._rests.pop(token))

    def _page(self, whole: Answer) -> Answer:
        """Return the first keys of an answer, and remember the others."""
        entries = sorted(_ENTRY.finditer(whole.body), key=lambda entry: entry[2])
        headers = {k: v for k, v in whole.headers.items() if k.lower() != "content-length"}
        whole = evolve(whole, headers=headers)
        if len(entries) <= self.keys:
            return whole
        token = f"rest-{len(self._rests)}"
        self._rests[token] = evolve(whole, body=_only(whole.body, entries[self.keys :]))
        body = _only(whole.body, entries[: self.keys])
        more = (
            f"<NextMarker>{token}</NextMarker>"
            if b"<NextMarker" in body
            else "<IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{token}</NextContinuationToken>"
        )
        body, count = _NO_MORE.subn(more.encode(), body)
        assert count == 1, body
        return evolve(whole, body=body)


def _token(query: Mapping[str, str]) -> str:
    return query.get("continuation-token") or query.get("marker") or ""


def _only(body: bytes, entries: list[re.Match[bytes]]) -> bytes:
    """Return a listing with some of its entries."""
    kept = {entry[0] for entry in entries}
    return _ENTRY.sub(lambda entry: entry[0] if entry[0] in kept else b"", body)
