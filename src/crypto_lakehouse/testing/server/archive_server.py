"""A server that stands in for data.binance.vision and its listing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Self

from crypto_lakehouse.core.archive import Archive, Market
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.testing.faults.kinds import Fault
from crypto_lakehouse.testing.faults.script import FaultScripts
from crypto_lakehouse.testing.made_up.catalog import DEFAULT_SYMBOLS, Catalog, Symbols
from crypto_lakehouse.testing.made_up.generator import sidecar_bytes
from crypto_lakehouse.testing.objects.folder import Folder
from crypto_lakehouse.testing.objects.object_store import BODY_CACHE_BYTES, ObjectStore
from crypto_lakehouse.testing.objects.objects import StoredObject
from crypto_lakehouse.testing.server.handler import Handler
from crypto_lakehouse.testing.server.request_log import RequestRecord
from crypto_lakehouse.testing.server.serving import listening, listening_in_thread

__all__ = ["ArchiveServer"]


class ArchiveServer:
    """The public archive on a local port: objects and their S3 listing, at the same URL.

    By default it makes up every archive that the matrix says exists, in the published format:
    the same bytes for the same key, always. Given a folder it serves that, byte for byte. Objects
    that a test puts or removes take precedence over both.

    An archive is made when it is first requested or listed: mostly in a few milliseconds, a day of
    1s bars in a quarter of a second, a month of them in about seven seconds and with 0.7 GB of
    memory. Limit a listing of 1s bars with `start` and `end`.

    Use it as an asynchronous context manager to serve in the running event loop, or as a plain
    one to serve in a background thread, for synchronous code and other processes. All methods
    may be called from any thread, before, while and after it serves.

    Args:
        folder: A directory to serve at its relative paths, dotfiles and links out of it excepted.
        generate: Whether to make up archives; by default only if there is no folder.
        matrix: What exists; by default the one that comes with the package.
        symbols: The symbols in listings, for all markets or by market; a symbol is listed in each
            data type if the matrix has a folder for it. Objects are made up for every symbol that
            the matrix accepts, listed or not.
        start: No archive exists whose period ends before this day.
        end: No archive exists whose period begins after this day.
        host: The address to listen on.
        port: The port to listen on; 0 for any free one.
        body_cache_bytes: How many bytes of made-up archives are kept, so that another request for
            them does not make them again.
        today: Archives exist whose period ended before this day; by default the day on which
            the server is made, UTC.

    Raises:
        MatrixError: The matrix that comes with the package cannot be read.
        OSError: There is no such folder.

    Examples:
        >>> from urllib.request import urlopen
        >>> with ArchiveServer() as server:
        ...     answer = urlopen(f"{server.url}/?prefix=data/option/&delimiter=/").read()
        >>> b"<Prefix>data/option/daily/</Prefix>" in answer
        True
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        generate: bool | None = None,
        matrix: Matrix | None = None,
        symbols: Symbols = DEFAULT_SYMBOLS,
        start: date | None = None,
        end: date | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        today: date | None = None,
        body_cache_bytes: int = BODY_CACHE_BYTES,
    ) -> None:
        catalog = None
        if isinstance(symbols, str):  # a string is a sequence of strings, but never meant as one
            symbols = (symbols,)
        if generate or (generate is None and folder is None):
            day = today or datetime.now(UTC).date()
            catalog = Catalog(matrix or load_matrix(), symbols, start=start, end=end, today=day)
        files = None if folder is None else Folder(Path(folder))
        self._store = ObjectStore(files, catalog, body_cache_bytes)
        self._scripts = FaultScripts()
        self._handler = Handler(self._store, self._scripts)
        self._address = host, port
        self._bound_port: int | None = None
        self._contexts = AsyncExitStack()
        self._thread_contexts = ExitStack()

    @property
    def url(self) -> str:
        """The URL of the server, without a slash at the end: a `source_url` and a `listing_url`.

        Raises:
            RuntimeError: The server is not running.
        """
        if self._bound_port is None:
            raise RuntimeError("the archive server does not serve; enter it with `with` first")
        host = self._address[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self._bound_port}"

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests and their statuses, oldest first; a copy."""
        return self._handler.log.copy()

    @property
    def concurrency(self) -> int:
        """How many requests are being answered now."""
        return self._handler.active

    @property
    def peak_concurrency(self) -> int:
        """The most requests that were being answered at the same time."""
        return self._handler.peak

    def count(self, pattern: str = "*", *, method: str | None = None) -> int:
        """Count the requests for a key or glob.

        A `*` also matches slashes; a listing is `list:` and its prefix, see `RequestRecord`.
        """
        return sum(
            fnmatchcase(record.path, pattern) and method in {None, record.method}
            for record in self._handler.log.copy()
        )

    def clear(self) -> None:
        """Clear the log and the peak of concurrent requests; scripts stay."""
        self._handler.forget()

    def put(
        self,
        key: str,
        body: bytes,
        *,
        etag: str | None = None,
        last_modified: datetime | None = None,
    ) -> None:
        """Hold `body` under `key` from now on, replacing any object there.

        Args:
            key: Decoded, without a leading slash.
            body: The object's bytes; no sidecar comes with them, see `publish`.
            etag: Without quotes; by default the MD5, as S3 has it.
            last_modified: Aware; by default a time on the day after the key's period.
        """
        stored = StoredObject.of(key, body, etag=etag, last_modified=last_modified)
        self._store.put(key, stored)

    def publish(self, key: str, body: bytes, *, last_modified: datetime | None = None) -> None:
        """Hold an archive and its sidecar, as the publisher does.

        Raises:
            ArchiveKeyError: `key` is not a key of the archive.
        """
        archive = Archive.published(key)
        newline = archive.market is not Market.SPOT  # docs/archive.md#sidecars
        line = sidecar_bytes(archive.name, body, newline=newline)
        self.put(key, body, last_modified=last_modified)
        self.put(archive.sidecar_key, line, last_modified=last_modified)

    def remove(self, key: str) -> None:
        """Answer 404 for `key` from now on, and leave it out of listings."""
        self._store.put(key, None)

    def read(self, key: str) -> bytes:
        """Read an object as it is held now; this is not logged.

        Raises:
            KeyError: There is none.
        """
        stored = self._store.get(key)
        if stored is None:
            raise KeyError(key)
        return stored.read()

    def inject(self, pattern: str, *faults: Fault | Iterable[Fault], endless: bool = False) -> None:
        """Script faults for future requests.

        Each request that matches takes the next fault; after the last one there are no more faults.
        If several scripts match, the one that was injected first is used first.

        Args:
            pattern: A key or a glob, as in `count`.
            faults: Faults, and sequences of them such as `Status(503) * 3`.
            endless: Whether to start over after the last one.
        """
        flat = [[fault] if isinstance(fault, Fault) else fault for fault in faults]
        self._scripts.add(pattern, chain.from_iterable(flat), endless=endless)

    def heal(self) -> None:
        """Forget all faults that are still scripted."""
        self._scripts.clear()

    def release(self) -> None:
        """End all current silences of `Stall`; future ones are kept."""
        self._handler.release()

    async def __aenter__(self) -> Self:
        self._check_idle()
        context = listening(self._handler, *self._address)
        self._bound_port = await self._contexts.enter_async_context(context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bound_port = None
        await self._contexts.aclose()

    def __enter__(self) -> Self:
        self._check_idle()
        context = listening_in_thread(self._handler, *self._address)
        self._bound_port = self._thread_contexts.enter_context(context)
        return self

    def __exit__(self, *_: object) -> None:
        self._bound_port = None
        self._thread_contexts.close()

    def _check_idle(self) -> None:
        if self._bound_port is not None:
            raise RuntimeError("the archive server serves already")
