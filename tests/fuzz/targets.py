"""Everything that reads foreign bytes, each as a function of bytes that asserts what must hold.

A target raises for a broken promise only: what it is fed may be refused, and then by one of our
errors, with a message that names the fault.
"""

from __future__ import annotations

import asyncio
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from aiohttp.client_proto import ResponseHandler
from attrs import frozen
from yarl import URL

from crypto_lakehouse.collection.download.sidecar import parse_sidecar
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ArchiveKeyError,
    ConfigurationError,
    ListingMalformed,
    MatrixError,
    SidecarMalformed,
    TransferError,
)
from crypto_lakehouse.http.client import ExchangeClient, engine_client
from crypto_lakehouse.http.origin import Origin
from crypto_lakehouse.http.s3_listing_xml import PageParser, ParsedPage
from crypto_lakehouse.http.transport import Answer
from crypto_lakehouse.matrix.load import parse_matrix
from crypto_lakehouse.zips.check import zip_fault
from crypto_lakehouse.zips.stream_check import StreamedZip

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
    """The other side of a connection: it takes everything, and hands over what it is given."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._protocol: asyncio.BaseProtocol = ResponseHandler(loop)
        self._protocol.connection_made(self)
        self._is_closing = False
        self._is_taken = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()

    def write(self, data: object) -> None:
        """Take what is sent."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._is_taken.set()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._reads.set()
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self._reads.clear()

    def resume_reading(self) -> None:
        self._reads.set()

    async def bring(self, piece: bytes) -> None:
        """Hand over bytes, unless the client closes the connection."""
        await self._is_taken.wait()
        while piece:
            await self._reads.wait()
            if self._is_closing:
                return
            protocol = self._protocol
            assert isinstance(protocol, asyncio.BufferedProtocol)
            buffer = memoryview(protocol.get_buffer(-1))
            taken = min(len(buffer), len(piece))
            assert taken
            buffer[:taken] = piece[:taken]
            del buffer  # or the body's last piece could not be cut to size
            protocol.buffer_updated(taken)
            piece = piece[taken:]


class _Connector:
    """A connector with one connection, and that connection."""

    def __init__(self, line: _Line) -> None:
        self.protocol = line.get_protocol()
        self._line = line

    async def connect(self, *_: object) -> _Connector:
        if self._line.is_closing():
            raise ConnectionError("there is one connection only")
        return self

    def release(self) -> None:
        """It is idle from now on."""

    def close(self) -> None:
        self._line.close()


@frozen
class _Told:
    """What a client learns from an answer."""

    status: int = 0
    body: bytes = b""
    error: str = ""


async def _take(found: Answer) -> _Told:
    """Take a body; it is whole, or there is an error."""
    chunks, error = [], ""
    try:
        async for chunk in found.chunks():
            chunks.append((chunk, bytes(chunk)))  # noqa: PERF401 - some come before an error
    except TransferError as failure:
        _is_told(failure)
        error = type(failure).__name__
    body = b"".join(copy for _, copy in chunks)
    assert all(chunk == copy for chunk, copy in chunks)  # what was handed out never changes
    assert found.size_bytes in {None, len(body)} or error or found.status in {204, 304}
    return _Told(found.status, body, error)


async def _answered(pieces: list[bytes], *, is_wanted: bool = True) -> _Told:
    """What a client learns from an answer that comes in pieces and ends with its connection."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, what: complaints.append(what))
    line, url = _Line(loop), URL("http://h.example/")
    connector: Any = _Connector(line)
    async with engine_client(1, 60.0, 4096) as client:
        assert isinstance(client, ExchangeClient)
        client.origins["http", "h.example", 80] = Origin(None, connector, "h.example", "", "")
        taking = asyncio.ensure_future(_use(client, url, is_wanted=is_wanted))
        await asyncio.sleep(0)
        for piece in pieces:
            bringing = asyncio.ensure_future(line.bring(piece))
            for _ in range(len(piece) + 100):
                await asyncio.sleep(0)
                if bringing.done():
                    break
            await bringing
            for _ in range(4):
                await asyncio.sleep(0)
        line.close()
        async with asyncio.timeout(60):
            told = await taking
        await asyncio.sleep(0)
        assert not client.receivers
        assert not client.idle
    assert not complaints, complaints
    return told


async def _use(client: ExchangeClient, url: URL, *, is_wanted: bool) -> _Told:
    try:
        found = await client.send(url, {})
    except TransferError as error:
        _is_told(error)
        return _Told(error=type(error).__name__)
    told = await _take(found) if is_wanted else _Told(found.status)
    found.release()
    return told


def answer(data: bytes) -> None:
    """An answer is the same in whatever pieces it comes; a body is whole, or an error."""
    places = [0, *sorted({len(data) // 3, zlib.crc32(data) % (len(data) + 1)}), len(data)]
    whole = asyncio.run(_answered([data]))
    for pieces in (
        [data[begin:end] for begin, end in pairwise(places)],
        [data[place : place + 7] for place in range(0, len(data), 7)],
    ):
        told = asyncio.run(_answered(pieces))
        # What is no answer may be refused with its head, or only with its body.
        assert bool(told.error) == bool(whole.error), (told, whole)
        assert told.error or told == whole, (told, whole)
    asyncio.run(_answered([data[: len(data) // 2], data[len(data) // 2 :]], is_wanted=False))


def _by_zipfile(data: bytes) -> bool:
    """Whether Python's own reader finds one good member of the name."""
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        return names == [MEMBER] and archive.testzip() is None
    return False


def zip_archive(data: bytes) -> None:
    """Three readers agree: what is good to the quick one is good to the slow one, and to Python's.

    A small zip is what the fuzzer makes; a bomb among them is refused by its directory.
    """
    fault = zip_fault(io.BytesIO(data), MEMBER)
    assert fault is not None
    if not fault:
        assert _by_zipfile(data)
    streamed = StreamedZip()
    for place in range(0, len(data), 13):
        streamed.feed(data[place : place + 13])
    if streamed.fault(MEMBER) == "":
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
