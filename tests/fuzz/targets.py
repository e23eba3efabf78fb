"""Everything that reads foreign bytes, each as a function of bytes that asserts what must hold.

A target raises for a broken promise only: what it is fed may be refused, and then by one of our
errors, with a message that names the fault.
"""

from __future__ import annotations

import asyncio
import io
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress

from crypto_lakehouse.collection.answers import Lost
from crypto_lakehouse.collection.connection import Connection
from crypto_lakehouse.collection.listing_xml import PageParser, ParsedPage
from crypto_lakehouse.collection.plain_zip import is_plain_and_good
from crypto_lakehouse.collection.sidecar import parse_sidecar
from crypto_lakehouse.collection.streamed_zip import StreamedZip
from crypto_lakehouse.collection.zip_check import zip_fault
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config import WorkflowConfig
from crypto_lakehouse.core.config_sources import parse_config
from crypto_lakehouse.core.errors import (
    ArchiveKeyError,
    ConfigurationError,
    ListingMalformed,
    MatrixError,
    SidecarMalformed,
)
from crypto_lakehouse.planning.matrix import parse_matrix

__all__ = ["MEMBER", "TARGETS"]

KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"
MEMBER = "BTCUSDT-1h-2025-07-15.csv"

#: What is refused says why in so many characters, whatever it was fed.
_LONGEST_MESSAGE = 20_000


def _is_told(error: Exception) -> None:
    text = str(error)
    assert text.strip()
    assert len(text) < _LONGEST_MESSAGE
    text.encode()


def key(data: bytes) -> None:
    """A key is an archive, which has that key, or is refused by name."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        archive = Archive.parse(text)
    except ArchiveKeyError as error:
        assert str(error).strip()
        return
    assert archive.key == text
    assert Archive.parse(archive.key) == archive
    assert ".." not in text.split("/")


def sidecar(data: bytes) -> None:
    """A sidecar names a digest that is written in it, or is refused."""
    try:
        digest = parse_sidecar(data, KEY)
    except SidecarMalformed as error:
        _is_told(error)
        return
    assert len(digest) == 64
    assert digest in data.decode("utf-8-sig").lower()


def _page(pieces: list[bytes]) -> ParsedPage | type[ListingMalformed]:
    parser = PageParser("http://127.0.0.1/")
    try:
        for piece in pieces:
            parser.feed(piece)
        return parser.close()
    except ListingMalformed as error:
        _is_told(error)
        return type(error)


def listing(data: bytes) -> None:
    """A page is the same in whatever pieces it comes, and has no control characters."""
    whole = _page([data])
    halves = _page([data[: len(data) // 2], data[len(data) // 2 :]])
    if isinstance(whole, ParsedPage):
        assert whole == halves
        for item in whole.objects:
            assert "\0" not in item.key
            assert item.size_bytes >= 0
    else:
        assert not isinstance(halves, ParsedPage)


def matrix(data: bytes) -> None:
    """A matrix is read, or every fault of it is told."""
    try:
        read = parse_matrix(data, "fuzz")
    except MatrixError as error:
        assert error.problems
        return
    for row in read.rows:
        assert read.row(row.market, row.data_type) is not None


def config(data: bytes) -> None:
    """The first byte chooses the format; what is read is a configuration, or is refused whole."""
    kind = ("run.json", "run.toml", "run.yaml")[data[0] % 3] if data else "run.json"
    text = data[1:].decode("utf-8", "replace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = WorkflowConfig(parse_config(text, kind), environ={})
    except ConfigurationError as error:
        assert error.problems
        return
    assert read.workflow_type == "archive_collection"


class _Line(asyncio.Transport):
    """The other side of a connection: it takes everything, and says nothing."""

    closing = False

    def write(self, data: object) -> None:
        """Take what is sent."""

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        """More may come; a source need not obey."""

    def resume_reading(self) -> None:
        """It never paused."""


async def _answered(data: bytes, step: int) -> tuple[int, bytes | None]:
    """What a client is told of an answer that comes in steps: its status, and its whole body."""
    connection = Connection(60.0, lambda _: None, chunk_bytes=4096)
    line = _Line()
    connection.connection_made(line)
    asking = asyncio.ensure_future(connection.ask(b"GET / HTTP/1.1\r\n\r\n"))
    await asyncio.sleep(0)
    place = 0
    while place < len(data) and not line.closing and not connection.is_closed:
        buffer = connection.get_buffer(-1)
        taken = min(len(buffer), step, len(data) - place)
        buffer[:taken] = data[place : place + taken]
        del buffer  # or the body's last piece could not be cut to size
        connection.buffer_updated(taken)
        place += taken
    if not line.closing:
        connection.connection_lost(None)
    try:
        await asking
        parts = []
        while chunk := await connection.chunk():
            parts.append(bytes(chunk))
        body = b"".join(parts)
        assert connection.size_bytes in {None, len(body)}
        return connection.status, body
    except Lost as error:
        assert str(error)
        return connection.status, None
    finally:
        connection.abort()


def answer(data: bytes) -> None:
    """An answer is the same in whatever pieces it comes; a body is whole, or lost."""
    whole = asyncio.run(_answered(data, 1 << 20))
    pieces = asyncio.run(_answered(data, 7))
    if whole[1] is not None and pieces[1] is not None:
        assert whole == pieces


def _by_zipfile(data: bytes) -> bool:
    """Whether Python's own reader finds one good member of the name."""
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        return names == [MEMBER] and archive.testzip() is None
    return False


def zip_archive(data: bytes) -> None:
    """Three readers agree: what is good to the quick ones is good to the slow one, and to Python's.

    A small zip is what the fuzzer makes; a bomb among them is refused by its directory.
    """
    fault = zip_fault(io.BytesIO(data), MEMBER)
    assert fault is not None
    if not fault:
        assert _by_zipfile(data)
    if is_plain_and_good(data, MEMBER, 1 << 22):
        assert fault == ""
    streamed = StreamedZip()
    for place in range(0, len(data), 13):
        streamed.feed(data[place : place + 13])
    if streamed.is_good(io.BytesIO(data), MEMBER):
        assert fault == ""


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "key": key,
    "sidecar": sidecar,
    "listing": listing,
    "matrix": matrix,
    "config": config,
    "answer": answer,
    "zip": zip_archive,
}
