"""Parses one page of an S3 listing as its bytes arrive, without a tree, entities or copies.

Source: Amazon S3, ListObjects version 1; docs/archive.md#listing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote
from xml.parsers import expat
from xml.parsers.expat import errors
from xml.parsers.expat.errors import codes

from attrs import frozen

from crypto_lakehouse.core.errors import ListingMalformed
from crypto_lakehouse.core.listed import ListedObject
from crypto_lakehouse.core.whole_numbers import whole_number

__all__ = ["PAGE_LIMIT_BYTES", "NotAListing", "PageParser", "ParsedPage"]

#: A page of 1000 entries has about 400 kB, or 8 MB if every key has the maximum length.
PAGE_LIMIT_BYTES = 16 << 20

#: A key has at most 1024 bytes. expat scans a tag or comment without an end again with every piece;
#: without a limit this would block the event loop for seconds.
_TOKEN_LIMIT_BYTES = 1 << 16

#: S3 sends at most 1000; millions of tiny entries would take ten times the memory of the page.
_ENTRY_LIMIT = 10_000

_ROOT = "ListBucketResult"

#: C0, DEL and C1: no key contains them, and in a message they would control the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

#: A listing has four levels; unlimited nesting would take far more memory than the page.
_DEEPEST = 16

#: expat's errors for a document that ends too early; it may report them only at the end.
_CUT_OFF = frozenset(
    codes[message]
    for message in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)

#: The elements whose text is needed; all others are skipped.
_WANTED = frozenset(
    {"Key", "LastModified", "ETag", "Size", "Prefix", "IsTruncated", "NextMarker", "EncodingType"}
)


class NotAListing(ListingMalformed):
    """The response of the source is not a listing."""

    transient = False


@frozen
class ParsedPage:
    """The content of one page.

    Attributes:
        folders: Common prefixes.
        next_marker: The marker of the next page; None if the page has none.
    """

    objects: tuple[ListedObject, ...]
    folders: tuple[str, ...]
    is_truncated: bool
    next_marker: str | None


class PageParser:
    """An incremental parser: `feed` it the bytes of a page in any pieces, then `close` it.

    Args:
        url: The URL of the page, for errors; without secrets.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._received = 0
        self._objects: list[ListedObject] = []
        self._folders: list[str] = []
        self._facts: dict[str, str] = {}
        self._entry: dict[str, str] = {}
        self._has_begun = False
        self._path: list[str] = []
        self._text: list[str] = []
        # Ignores the declared encoding: any other one would run Python's codecs.
        self._parser = expat.ParserCreate(encoding="UTF-8", namespace_separator=None)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes | bytearray) -> None:
        """Parse the next bytes.

        Raises:
            ListingMalformed: The bytes are not valid in a listing, or too many.
            NotAListing: The document is not a listing.
        """
        self._received += len(data)
        if self._received > PAGE_LIMIT_BYTES:
            raise self._fault(f"a page of more than {PAGE_LIMIT_BYTES} bytes")
        self._parse(data, final=False)
        if self._received - self._parser.CurrentByteIndex > _TOKEN_LIMIT_BYTES:
            raise self._fault("a tag or a comment that does not end")

    def close(self) -> ParsedPage:
        """End the page and return its content.

        Raises:
            ListingMalformed: The page is cut off, or lacks a required element.
        """
        self._parse(b"", final=True)
        truncated = self._facts.get("IsTruncated", "").strip()
        if truncated not in {"true", "false"}:
            raise self._fault("it does not say whether it is truncated")
        decode = self._decoder()
        marker = self._facts.get("NextMarker") or None
        if marker is not None and truncated == "false":
            raise self._fault("it is marked as the last page, but has a next marker")
        page = ParsedPage(
            objects=tuple(self._objects)
            if decode is None
            else tuple(
                ListedObject(decode(item.key), item.size_bytes, item.etag, item.last_modified)
                for item in self._objects
            ),
            folders=tuple(map(decode, self._folders)) if decode else tuple(self._folders),
            is_truncated=truncated == "true",
            next_marker=decode(marker) if decode and marker else marker,
        )
        return self._check_texts(page)

    def _parse(self, data: bytes | bytearray, *, final: bool) -> None:
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            is_cut = error.code in _CUT_OFF
            # A retry may complete a body that was cut off, but does not change another document.
            is_other = not self._has_begun and not (is_cut and self._received)
            reason = "it is cut off" if is_cut and self._received else f"it is not XML: {error}"
            kind = NotAListing if is_other else ListingMalformed
            raise kind(self._url, f"malformed listing: {reason}") from error

    def _decoder(self) -> Callable[[str], str] | None:
        encoding = self._facts.get("EncodingType")
        if encoding is None:
            return None
        if encoding != "url":
            raise self._fault(f"unknown encoding type {_shown(encoding)}")
        return self._decoded

    def _decoded(self, text: str) -> str:
        try:
            # S3 encodes like HTML forms: a plus is a space.
            return unquote(text.replace("+", " "), errors="strict")
        except UnicodeDecodeError as error:
            raise self._fault("a key that is not UTF-8") from error

    def _check_texts(self, page: ParsedPage) -> ParsedPage:
        """Refuse control characters: XML allows some of them, and URL encoding all."""
        texts = (*(item.key for item in page.objects), *page.folders, page.next_marker or "")
        for text in texts:
            # The first check is much cheaper, and sufficient for nearly every key.
            if not text.isprintable() and _CONTROL.search(text):
                raise self._fault(f"a control character in {_shown(text)}")
        return page

    def _fault(self, reason: str) -> ListingMalformed:
        return ListingMalformed(self._url, f"malformed listing: {reason}")

    # Called by the parser --------------------------------------------------------------------

    def _doctype(self, *_: object) -> None:
        # An HTML page or an attack; refused before an entity is declared.
        raise NotAListing(self._url, "not a listing: it declares a document type")

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        depth = len(self._path)
        if depth == 0:
            self._begin(name)
        elif depth == _DEEPEST or self._path[-1] in _WANTED:
            raise self._fault(f"a `{name[:40]}` in a `{self._path[-1][:40]}`")
        self._path.append(name)
        if name in _WANTED:
            self._text = []
            self._parser.CharacterDataHandler = self._text.append
        elif depth == 1 and name == "Contents":
            self._entry = {}

    def _begin(self, name: str) -> None:
        if name != _ROOT:
            raise NotAListing(self._url, f"not a listing: the document is a `{name[:40]}`")
        self._has_begun = True

    def _end(self, _name: str) -> None:
        name = self._path.pop()
        if name in _WANTED:
            self._parser.CharacterDataHandler = None
            self._keep(name, "".join(self._text))
        elif name == "Contents" and len(self._path) == 1:
            self._objects.append(self._object(self._entry))
            self._bound(len(self._objects))

    def _keep(self, name: str, text: str) -> None:
        depth = len(self._path)
        if depth == 2 and self._path[1] == "Contents":
            into = self._entry
        elif depth == 1:
            into = self._facts
        else:
            if name == "Prefix" and self._path[1:] == ["CommonPrefixes"]:
                self._folders.append(text)
                self._bound(len(self._folders))
            return
        if name in into:
            raise self._fault(f"it has `{name}` twice")
        into[name] = text

    def _bound(self, entries: int) -> None:
        if entries > _ENTRY_LIMIT:
            raise self._fault(f"a page of more than {_ENTRY_LIMIT} entries")

    def _object(self, entry: dict[str, str]) -> ListedObject:
        key, text = entry.get("Key"), entry.get("Size", "")
        if not key:
            raise self._fault("an object without a key")
        size_bytes = whole_number(text)
        if size_bytes is None:
            raise self._fault(f"an object of size {_shown(text)}")
        return ListedObject(key, size_bytes, entry.get("ETag"), entry.get("LastModified"))


def _shown(text: str) -> str:
    """Return text of the source for a message: short, and on one line."""
    return f"`{ascii(text[:40])[1:-1]}`" if _CONTROL.search(text) else f"`{text[:40]}`"
