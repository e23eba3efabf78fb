"""Parse one page of an S3 listing as its bytes arrive: no tree, no entities, no second copy.

Source: Amazon S3, ListObjects version 1; archive-facts 1.2.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote
from xml.parsers import expat

from attrs import frozen

from crypto_lakehouse.core.errors import ListingMalformed
from crypto_lakehouse.core.listing import ListedObject

__all__ = ["PAGE_LIMIT_BYTES", "NotAListing", "PageParser", "ParsedPage"]

#: A page of 1000 entries is about 400 kB, and 8 MB where every key is as long as keys can be.
PAGE_LIMIT_BYTES = 16 << 20

_ROOT = "ListBucketResult"
_MAX_SIZE = 1 << 63

#: The elements whose text is wanted; what else a page holds is passed over.
_WANTED = frozenset(
    {"Key", "LastModified", "ETag", "Size", "Prefix", "IsTruncated", "NextMarker", "EncodingType"}
)


class NotAListing(ListingMalformed):
    """The source answered with something that is no listing at all."""

    transient = False


@frozen
class ParsedPage:
    """One page, as it says itself.

    Attributes:
        folders: Common prefixes.
        next_marker: Where the next page begins, None where the page does not say.
    """

    objects: tuple[ListedObject, ...]
    folders: tuple[str, ...]
    is_truncated: bool
    next_marker: str | None


class PageParser:
    """Feed it a page's bytes, in any pieces, then `close` it.

    Args:
        url: Where the page comes from, for errors; without secrets.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._received = 0
        self._objects: list[ListedObject] = []
        self._folders: list[str] = []
        self._facts: dict[str, str] = {}
        self._entry: dict[str, str] | None = None
        self._path: list[str] = []
        self._text: list[str] = []
        self._parser = expat.ParserCreate(namespace_separator=None)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            ListingMalformed: They cannot belong to a listing, or are too many.
            NotAListing: They begin something else.
        """
        self._received += len(data)
        if self._received > PAGE_LIMIT_BYTES:
            raise self._fault(f"a page of more than {PAGE_LIMIT_BYTES} bytes")
        self._parse(data, final=False)

    def close(self) -> ParsedPage:
        """End the page.

        Raises:
            ListingMalformed: It is cut off, or does not say what a page must.
        """
        self._parse(b"", final=True)
        truncated = self._facts.get("IsTruncated", "").strip()
        if truncated not in {"true", "false"}:
            raise self._fault("it does not say whether it is truncated")
        decode = self._decoder()
        marker = self._facts.get("NextMarker") or None
        if marker is not None and truncated == "false":
            raise self._fault("it says that it is the last page, and names a next one")
        return ParsedPage(
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

    def _parse(self, data: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            is_other = not self._path and not self._facts and not self._objects
            kind = NotAListing if is_other and not final else ListingMalformed
            if is_other and final and not self._received:
                kind = NotAListing
            reason = "it is cut off" if final and not is_other else f"it is no XML: {error}"
            raise kind(self._url, f"malformed listing: {reason}") from error

    def _decoder(self) -> Callable[[str], str] | None:
        encoding = self._facts.get("EncodingType")
        if encoding is None:
            return None
        if encoding != "url":
            raise self._fault(f"unknown encoding type `{encoding}`")
        return self._decoded

    def _decoded(self, text: str) -> str:
        try:
            # S3 encodes as forms do: a plus is a space.
            return unquote(text.replace("+", " "), errors="strict")
        except UnicodeDecodeError as error:
            raise self._fault("a key that is not UTF-8") from error

    def _fault(self, reason: str) -> ListingMalformed:
        return ListingMalformed(self._url, f"malformed listing: {reason}")

    # Called by the parser --------------------------------------------------------------------

    def _doctype(self, *_: object) -> None:
        raise self._fault("it declares a document type, which no listing does")

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if not self._path and name != _ROOT:
            raise NotAListing(self._url, f"no listing: the document is a `{name[:40]}`")
        self._path.append(name)
        if name in _WANTED:
            self._text = []
            self._parser.CharacterDataHandler = self._text.append
        elif name == "Contents":
            self._entry = {}

    def _end(self, _name: str) -> None:
        name = self._path.pop()
        if name in _WANTED:
            self._parser.CharacterDataHandler = None
            self._keep(name, "".join(self._text))
        elif name == "Contents":
            self._objects.append(self._object(self._entry or {}))
            self._entry = None

    def _keep(self, name: str, text: str) -> None:
        if self._entry is not None:
            self._entry[name] = text
        elif name == "Prefix" and self._path[-1:] == ["CommonPrefixes"]:
            self._folders.append(text)
        elif len(self._path) == 1:
            self._facts[name] = text

    def _object(self, entry: dict[str, str]) -> ListedObject:
        key, size = entry.get("Key"), entry.get("Size", "")
        if not key:
            raise self._fault("an object without a key")
        if not (size.isascii() and size.isdecimal()) or int(size) >= _MAX_SIZE:
            raise self._fault(f"an object of size `{size[:40]}`")
        return ListedObject(key, int(size), entry.get("ETag"), entry.get("LastModified"))
