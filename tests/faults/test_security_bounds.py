"""What a source sends without end takes bounded memory, and ends in a clear failure."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from tests.faults.tls_source import ARCHIVES
from tests.http.scripted_server import Gone, Peer, answer, serving
from tests.workflows.conftest import KEY, SIDECAR, Collection

from crypto_lakehouse.core.errors import ListingError
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing_xml import PAGE_LIMIT_BYTES
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Body

#: What the kernel's buffers between a server and its client may take on top.
BUFFERS_BYTES = 12 << 20

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 50)
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"


@define
class Endless:
    """A source of `ARCHIVES` that never ends one of its answers.

    Attributes:
        path: What must be in a request for it.
        begin: How the answer begins.
        piece: What follows for ever.
        sent: How much of it went out.
    """

    path: str
    begin: bytes
    piece: bytes
    sent: int = field(init=False, default=0)

    async def __call__(self, peer: Peer) -> None:
        while True:
            path = (await peer.request()).split()[1].decode()
            if self.path in path:
                await self._send_on(peer)
            await peer.send(answer(ARCHIVES.get(path.lstrip("/"), b"")))

    async def _send_on(self, peer: Peer) -> None:
        piece = self.piece * (1 + (1 << 16) // len(self.piece))
        peer.writer.write(self.begin)
        try:
            while True:
                peer.writer.write(piece)
                await peer.writer.drain()
                self.sent += len(piece)
        except OSError as error:
            raise Gone from error


def in_chunks(piece: bytes) -> bytes:
    """A piece of a body, as one chunk."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)


# Heads -----------------------------------------------------------------------------------------

HEADS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX-More: ", b"x"),
    "a name": (b"HTTP/1.1 200 OK\r\n", b"x"),
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "1xx answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "line breaks": (b"", b"\r\n"),
    "nothing of HTTP": (b"", b"\x00"),
}


@pytest.mark.parametrize("path", [KEY + " ", SIDECAR], ids=["zip", "sidecar"])
@pytest.mark.parametrize("name", HEADS)
async def test_a_head_without_end_is_a_failure(
    collection: Collection, name: str, path: str
) -> None:
    source = Endless(path.strip(), *HEADS[name])
    async with serving(source) as served:
        report = await collection.run(source_url=str(served.base), retry=RetryPolicy(max_retries=0))
    assert report.totals["failed"] == 1
    assert "not an answer" in report.problems[0].reason
    assert source.sent < BUFFERS_BYTES


# Sidecars --------------------------------------------------------------------------------------

LINE = b"0" * 64 + b"  " + KEY.rpartition("/")[2].encode() + b"\n"

SIDECARS = {
    "of a length that nobody sends": (LONG, LINE),
    "in chunks": (CHUNKED, in_chunks(LINE)),
    "until the end": (UNTIL_THE_END, LINE),
    "of spaces": (UNTIL_THE_END, b" "),
    "in tiny chunks": (CHUNKED, in_chunks(b"0")),
}


@pytest.mark.parametrize("name", SIDECARS)
async def test_a_sidecar_without_end_proves_nothing(collection: Collection, name: str) -> None:
    source = Endless(".CHECKSUM", *SIDECARS[name])
    async with serving(source) as served:
        report = await collection.run(source_url=str(served.base), retry=RetryPolicy(max_retries=0))
    assert report.totals["verified"] == 0
    assert report.totals["unchanged"] == 0
    assert report.problems[0].reason
    assert source.sent < 4 * BUFFERS_BYTES, "it is looked at twice"
    assert not collection.path(SIDECAR).exists()


# Listings --------------------------------------------------------------------------------------

ROOT = b"<ListBucketResult><IsTruncated>false</IsTruncated>"

PAGES = {
    "entries": (ROOT, b"<Contents><Key>data/a</Key><Size>1</Size></Contents>"),
    "folders": (ROOT, b"<CommonPrefixes><Prefix>data/a/</Prefix></CommonPrefixes>"),
    "a key": (ROOT + b"<Contents><Key>", b"x"),
    "a name": (ROOT + b"<", b"x"),
    "attributes": (ROOT + b"<a ", b"x='' "),
    "one attribute": (ROOT + b"<a b='", b"x"),
    "a comment": (ROOT + b"<!--", b"x"),
    "an instruction": (ROOT + b"<?x ", b"x"),
    "spaces": (b"", b" "),
    "text": (ROOT, b"x"),
}


@pytest.mark.parametrize("begin", [CHUNKED, LONG, UNTIL_THE_END], ids=["chunked", "long", "close"])
@pytest.mark.parametrize("name", PAGES)
async def test_a_page_of_a_listing_without_end_is_an_error(
    collection: Collection, name: str, begin: bytes
) -> None:
    first, piece = PAGES[name]
    if begin is CHUNKED:
        first, piece = in_chunks(first or b" "), in_chunks(piece * 1000)
    source = Endless("?", begin + first, piece)
    async with serving(source) as served:
        with pytest.raises(ListingError, match="malformed listing"):
            await collection.run(
                listing_url=str(served.base),
                discovery="listing",
                retry=RetryPolicy(max_retries=0),
            )
    assert source.sent < PAGE_LIMIT_BYTES + BUFFERS_BYTES
    assert collection.server.requests == []


# Documents that bring their own definitions ------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def documents(precious: str, elsewhere: str) -> dict[str, str]:
    """Listings whose entities would take all memory, a file, or another server's answer."""
    page = (
        "<ListBucketResult><Prefix>{}</Prefix><IsTruncated>false</IsTruncated></ListBucketResult>"
    )
    kinds = {
        "laughs": (f'[<!ENTITY l0 "lol">{LAUGHS}]', "&l9;"),
        "a file": (f'[<!ENTITY x SYSTEM "file://{precious}">]', "&x;"),
        "a server": (f'[<!ENTITY x SYSTEM "{elsewhere}/x">]', "&x;"),
        "a parameter": (f'[<!ENTITY % x SYSTEM "{elsewhere}/x"> %x;]', ""),
        "a definition": (f'SYSTEM "{elsewhere}/x.dtd"', ""),
        "a public one": (f'PUBLIC "-//x" "file://{precious}"', ""),
        "nothing": ("", ""),
        "a default": ('[<!ATTLIST Prefix a CDATA "x">]', ""),
    }
    return {
        name: f"<?xml version='1.0'?><!DOCTYPE ListBucketResult {what}>{page.format(text)}"
        for name, (what, text) in kinds.items()
    }


@pytest.fixture
def other() -> Iterator[ArchiveServer]:
    """A server that nobody names."""
    with ArchiveServer() as server:
        yield server


def listed(collection: Collection) -> dict[str, Any]:
    """A run that no calendar can plan."""
    url = collection.server.url
    return {"discovery": "listing", "listing_url": url, "symbols": None, "default_date": None}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", documents("", ""))
async def test_a_listing_that_declares_anything_is_refused_with_nothing_read(
    collection: Collection, other: ArchiveServer, tmp_path: Path, name: str, encoding: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("hunter2")
    body = documents(str(precious), other.url)[name].encode(encoding)
    collection.server.inject("list:*", Body(body), endless=True)
    tracemalloc.start()
    try:
        with pytest.raises(ListingError) as refused:
            await collection.run(**listed(collection))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if encoding == "utf-8":
        assert "it declares a document type" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert peak < 8 << 20
    assert other.requests == []
    assert collection.sleeps.waits == [], "such a document stays one"


@pytest.mark.parametrize("entity", ["&x;", "&#0;", "&#x110000;", "&unknown;"])
async def test_an_entity_that_nobody_declared_is_refused(
    collection: Collection, entity: str
) -> None:
    body = f"<ListBucketResult><Prefix>{entity}</Prefix></ListBucketResult>".encode()
    collection.server.inject("list:*", Body(body), endless=True)
    with pytest.raises(ListingError, match="it is not XML"):
        await collection.run(**listed(collection))
