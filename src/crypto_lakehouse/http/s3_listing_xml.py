"""Parse one page of an S3 listing as its bytes arrive: no tree, no entities, no second copy.

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

__all__ = ["PAGE_LIMIT_BYTES", "NotAListing", "PageParser", "ParsedPage"]

#: A page of 1000 entries is about 400 kB, and 8 MB where every key is as long as keys can be.
PAGE_LIMIT_BYTES = 16 << 20

#: A key has 1024 bytes at most. A tag or a comment that does not end is looked at again with each
#: piece that comes; without a bound that would take seconds, in which nothing else is done.
_TOKEN_LIMIT_BYTES = 1 << 16

#: S3 sends 1000 at most; millions of tiny ones would take ten times the page's own memory.
_ENTRY_LIMIT = 10_000

_ROOT = "ListBucketResult"

#: As many digits as 2**63 - 1 has, the largest number that the ledger holds; a bound on the text,
#: as Python refuses to read numbers of thousands of digits.
_MAX_SIZE_DIGITS = 19
_SIZE_LIMIT = 1 << 63

#: C0, DEL and C1: no key has them, and in a message they would command the reader's terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

#: A listing nests four deep; an unbounded depth would take memory far beyond the page's own.
_DEEPEST = 16

#: What expat says of a document that ends too early; it may say so late, or not before the end.
_CUT_OFF = frozenset(
    codes[message]
    for message in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)

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
        self._entry: dict[str, str] = {}
        self._has_begun = False
        self._path: list[str] = []
        self._text: list[str] = []
        # Whatever the document says of its encoding: another one would run Python's own codecs.
        self._parser = expat.ParserCreate(encoding="UTF-8", namespace_separator=None)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes | bytearray) -> None:
        """Take the next bytes.

        Raises:
            ListingMalformed: They cannot belong to a listing, or are too many.
            NotAListing: They begin something else.
        """
        self._received += len(data)
        if self._received > PAGE_LIMIT_BYTES:
            raise self._fault(f"a page of more than {PAGE_LIMIT_BYTES} bytes")
        self._parse(data, final=False)
        if self._received - self._parser.CurrentByteIndex > _TOKEN_LIMIT_BYTES:
            raise self._fault("a tag or a comment that does not end")

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
            # A body that breaks off may come whole the next time; another document stays one.
            is_other = not self._has_begun and not (is_cut and self._received)
            reason = "it is cut off" if is_cut and self._received else f"it is no XML: {error}"
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
            # S3 encodes as forms do: a plus is a space.
            return unquote(text.replace("+", " "), errors="strict")
        except UnicodeDecodeError as error:
            raise self._fault("a key that is not UTF-8") from error

    def _check_texts(self, page: ParsedPage) -> ParsedPage:
        """Refuse control characters, which XML lets through in part, and URL encoding entirely."""
        texts = (*(item.key for item in page.objects), *page.folders, page.next_marker or "")
        for text in texts:
            # The first question is much the cheaper one, and answers for nearly every key.
            if not text.isprintable() and _CONTROL.search(text):
                raise self._fault(f"a control character in {_shown(text)}")
        return page

    def _fault(self, reason: str) -> ListingMalformed:
        return ListingMalformed(self._url, f"malformed listing: {reason}")

    # Called by the parser --------------------------------------------------------------------

    def _doctype(self, *_: object) -> None:
        # Before any entity is declared: a page of HTML, or an attack.
        raise NotAListing(self._url, "no listing: it declares a document type")

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
            raise NotAListing(self._url, f"no listing: the document is a `{name[:40]}`")
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
            raise self._fault(f"it says `{name}` twice")
        into[name] = text

    def _bound(self, entries: int) -> None:
        if entries > _ENTRY_LIMIT:
            raise self._fault(f"a page of more than {_ENTRY_LIMIT} entries")

    def _object(self, entry: dict[str, str]) -> ListedObject:
        key, size = entry.get("Key"), entry.get("Size", "")
        if not key:
            raise self._fault("an object without a key")
        is_number = size.isascii() and size.isdecimal() and len(size) <= _MAX_SIZE_DIGITS
        if not is_number or int(size) >= _SIZE_LIMIT:
            raise self._fault(f"an object of size {_shown(size)}")
        return ListedObject(key, int(size), entry.get("ETag"), entry.get("LastModified"))


def _shown(text: str) -> str:
    """A foreign text for a message: short, and on one line."""
    return f"`{ascii(text[:40])[1:-1]}`" if _CONTROL.search(text) else f"`{text[:40]}`"
