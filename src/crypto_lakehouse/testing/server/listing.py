"""S3's ListObjects, version 1 (docs/archive.md#listing)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape

from attrs import frozen

from crypto_lakehouse.testing.objects.objects import Entry
from crypto_lakehouse.testing.objects.walk import LAST

__all__ = ["MAX_KEYS", "ListingQuery", "Page", "list_page", "page_xml"]

#: The most entries of one page, whatever is requested.
MAX_KEYS = 1000

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_BUCKET = "data.binance.vision"


@frozen
class ListingQuery:
    """The parameters of a listing request.

    Attributes:
        prefix: A plain string: `.../1m` is a prefix of `.../1mo/`, too.
        delimiter: Keys are rolled up at its first occurrence after the prefix; empty for no
            roll-up.
        marker: Only keys after this one, in the order of their UTF-8 bytes.
        encode: Whether keys are percent-encoded in the response (`encoding-type=url`).
    """

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    max_keys: int = MAX_KEYS
    encode: bool = False

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> ListingQuery:
        """Read a query string's fields.

        Raises:
            ValueError: `max-keys` is not a number of 0 or more, or `encoding-type` is not `url`.
        """
        text = query.get("max-keys", str(MAX_KEYS))
        if not (text.isascii() and text.isdecimal()):
            raise ValueError("Argument maxKeys must be an integer between 0 and 2147483647")
        if query.get("encoding-type", "url") != "url":
            raise ValueError("Invalid Encoding Method specified in Request")
        return cls(
            query.get("prefix", ""),
            query.get("delimiter", ""),
            query.get("marker", ""),
            min(int(text), MAX_KEYS),
            "encoding-type" in query,
        )


@frozen
class Page:
    """One page of a listing: keys and rolled-up prefixes, each sorted."""

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]
    is_truncated: bool

    @property
    def last(self) -> str:
        """The last entry of the page, key or prefix."""
        return max((*self.keys[-1:], *self.prefixes[-1:]), default="")


def list_page(query: ListingQuery, keys_after: Callable[[str, str], Iterator[str]]) -> Page:
    """Make one page.

    Args:
        query: The request.
        keys_after: Yields all keys with a prefix that sort after a marker, sorted, lazily.
    """
    keys: list[str] = []
    prefixes: list[str] = []
    for entry, is_prefix in _entries(query, keys_after):
        if len(keys) + len(prefixes) == query.max_keys:
            # S3 never calls a page of no entries truncated: its client could not go on.
            return Page(tuple(keys), tuple(prefixes), is_truncated=query.max_keys > 0)
        (prefixes if is_prefix else keys).append(entry)
    return Page(tuple(keys), tuple(prefixes), is_truncated=False)


def _entries(
    query: ListingQuery, keys_after: Callable[[str, str], Iterator[str]]
) -> Iterator[tuple[str, bool]]:
    """Yield keys, and each common prefix once, skipping the keys below it."""
    after: str | None = query.marker
    if _common_prefix(query, query.marker) == query.marker:
        after = query.marker + LAST  # the page before ended with this prefix
    while after is not None:
        start, after = after, None
        for key in keys_after(query.prefix, start):
            common = _common_prefix(query, key)
            if common is not None:
                yield common, True
                after = common + LAST
                break
            yield key, False


def _common_prefix(query: ListingQuery, key: str) -> str | None:
    """Cut a key behind the first delimiter after the prefix; return None if there is none."""
    if not query.delimiter or not key.startswith(query.prefix):
        return None
    place = key.find(query.delimiter, len(query.prefix))
    return None if place < 0 else key[: place + len(query.delimiter)]


def page_xml(query: ListingQuery, page: Page, lookup: Callable[[str], Entry | None]) -> str:
    """Write the page's document.

    Args:
        query: The request.
        page: The page.
        lookup: Finds an object's size, ETag and date; keys that it does not find are
            left out.
    """
    text = _encoder(query)
    head = [
        ("Name", _BUCKET),
        ("Prefix", text(query.prefix)),
        ("Marker", text(query.marker)),
        # Without a delimiter the last key is the next marker, and S3 does not repeat it.
        ("NextMarker", text(page.last) if page.is_truncated and query.delimiter else None),
        ("MaxKeys", str(query.max_keys)),
        ("Delimiter", text(query.delimiter) or None),
        ("EncodingType", "url" if query.encode else None),
        ("IsTruncated", str(page.is_truncated).lower()),
    ]
    contents = "".join(
        _contents(text(key), entry) for key in page.keys if (entry := lookup(key)) is not None
    )
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{text(prefix)}</Prefix></CommonPrefixes>"
        for prefix in page.prefixes
    )
    inner = _elements(head) + contents + prefixes
    return f'<ListBucketResult xmlns="{_NAMESPACE}">{inner}</ListBucketResult>'


def _encoder(query: ListingQuery) -> Callable[[str], str]:
    return (lambda text: quote(text, safe="/")) if query.encode else escape


def _contents(key: str, entry: Entry) -> str:
    fields = [
        ("Key", key),
        ("LastModified", f"{entry.last_modified:%Y-%m-%dT%H:%M:%S}.000Z"),
        ("ETag", escape(entry.etag, {'"': "&quot;"})),
        ("Size", str(entry.size)),
        ("StorageClass", "STANDARD"),
    ]
    return f"<Contents>{_elements(fields)}</Contents>"


def _elements(fields: Iterable[tuple[str, str | None]]) -> str:
    return "".join(f"<{name}>{text}</{name}>" for name, text in fields if text is not None)
