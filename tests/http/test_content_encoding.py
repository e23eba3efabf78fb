"""Short texts that a source compresses unasked are decoded, in bounded memory; nothing else is."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncGenerator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.http.listers import Sending, lister_of, page, read

from crypto_lakehouse.core.errors import ListingError, NoListing
from crypto_lakehouse.http.content_encoding import decoded_chunks, decoded_text, sent_encoded

GZIP = {"Content-Encoding": "gzip"}
LINE = b"0123456789abcdef  x.zip\n"
PACKED = gzip.compress(LINE, mtime=0)
ENTRY = "<Contents><Key>p/a.zip</Key><Size>3</Size></Contents>"
PAGE = gzip.compress(page(ENTRY).encode(), mtime=0)


class Sent:
    """An answer whose body arrives in these pieces."""

    status = 200
    size_bytes: int | None = None

    def __init__(self, pieces: Sequence[bytes], headers: Mapping[str, str]) -> None:
        self._pieces = pieces
        self.headers = headers

    async def read(self, limit: int) -> bytes:
        return b"".join(self._pieces)[:limit]

    async def chunks(self) -> AsyncGenerator[bytes]:
        for piece in self._pieces:
            yield piece


async def decoded(pieces: Sequence[bytes], headers: Mapping[str, str] = GZIP) -> list[bytes]:
    return [bytes(chunk) async for chunk in decoded_chunks(Sent(pieces, headers))]


@pytest.mark.parametrize("name", ["gzip", "x-gzip", " GZip "])
def test_a_short_text_is_decoded(name: str) -> None:
    assert decoded_text(PACKED, {"Content-Encoding": name}, 99) == LINE


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (LINE, {}),
        (LINE, GZIP),
        (b"", GZIP),
        (PACKED, {}),
        (PACKED, {"Content-Encoding": "br"}),
        (PACKED, {"Content-Encoding": "identity"}),
        (PACKED[:-1], GZIP),
        (PACKED + b"x", GZIP),
        (PACKED[:-8] + bytes(8), GZIP),
        (b"\x1f\x8bxyz", GZIP),
    ],
)
def test_what_is_not_whole_and_declared_gzip_stays_as_it_is(
    data: bytes, headers: Mapping[str, str]
) -> None:
    assert decoded_text(data, headers, 99) == data


def test_no_more_of_a_text_is_decoded_than_is_wanted() -> None:
    bomb = gzip.compress(bytes(1 << 24))
    assert decoded_text(bomb[:4097], GZIP, 4097) == bytes(4097)


@given(st.binary(max_size=1 << 10), st.integers(1, 400), st.integers(1, 99))
async def test_a_body_is_decoded_however_it_arrives(data: bytes, times: int, step: int) -> None:
    packed = gzip.compress(data * times)
    pieces = [b"", *(packed[at : at + step] for at in range(0, len(packed), step))]
    assert b"".join(await decoded(pieces)) == data * times


async def test_a_body_is_decoded_in_pieces_of_bounded_size() -> None:
    pieces = await decoded([gzip.compress(bytes(1 << 22))])
    assert sum(map(len, pieces)) == 1 << 22
    assert max(map(len, pieces)) == 1 << 16


@pytest.mark.parametrize("headers", [{}, GZIP, {"Content-Encoding": "br"}])
async def test_a_body_that_is_plain_passes_as_it_is(headers: Mapping[str, str]) -> None:
    assert await decoded([b"<", b"a/>"], headers) == [b"<", b"a/>"]


@pytest.mark.parametrize("packed", [PACKED[:-1], PACKED + b"x"])
async def test_a_body_that_is_not_whole_gzip_is_an_error(packed: bytes) -> None:
    with pytest.raises(zlib.error):
        await decoded([packed])


def test_the_encoding_is_named() -> None:
    assert sent_encoded({}) == sent_encoded({"Content-Encoding": "Identity"}) == ""
    said = sent_encoded({"Content-Encoding": "br\x1b"}, "the zip")
    assert said == r"; the zip was sent with Content-Encoding: br\x1b, unasked"


async def test_a_listing_that_is_compressed_unasked_is_read() -> None:
    body = PAGE
    pages = await read(lister_of(Sending(body, GZIP)), "p/")
    assert [item.key for found in pages for item in found.objects] == ["p/a.zip"]


@pytest.mark.parametrize(
    ("body", "encoding", "says"),
    [
        (PAGE[:-4], "gzip", "not gzip.*Encoding: gzip, unasked"),
        (b"\x1f\x8b" + bytes(99), "gzip", "not gzip.*Encoding: gzip, unasked"),
        (b"\x0b\x02\x80", "br", "not XML.*Encoding: br, unasked"),
        (gzip.compress(b"<html/>", mtime=0), "gzip", "`html`.*Encoding: gzip, unasked"),
        (PAGE, "identity", "not XML: [^;]*$"),
    ],
)
async def test_a_listing_that_cannot_be_decoded_names_the_encoding(
    body: bytes, encoding: str, says: str
) -> None:
    lister = lister_of(Sending(body, {"Content-Encoding": encoding}))
    with pytest.raises(ListingError, match=says):
        await read(lister, "p/")


async def test_a_compressed_listing_without_an_end_is_refused_by_its_size() -> None:
    bomb = gzip.compress(b"<ListBucketResult>" + b" " * (17 << 20))
    with pytest.raises(ListingError, match="more than 16777216 bytes"):
        await read(lister_of(Sending(bomb, GZIP)), "p/")


async def test_a_source_whose_listing_is_a_compressed_page_has_no_listing() -> None:
    lister = lister_of(Sending(gzip.compress(b"<!DOCTYPE html><html/>"), GZIP))
    with pytest.raises(NoListing, match="Encoding: gzip, unasked"):
        await lister.check()
