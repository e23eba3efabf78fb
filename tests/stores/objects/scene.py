"""A source, an object store behind a proxy that fails, and collections from one into the other."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, Fault, FaultProxy, Forward, Request
from tests.workflows.conftest import make_zip, member_of

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.made_up.zips import good_zip

__all__ = ["KEYS", "LARGE", "SMALL", "Scene", "large_source", "naming", "on", "random_zip"]

LARGE = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-03-01.zip"
SMALL = [f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-03-0{day}.zip" for day in range(1, 4)]
KEYS = [*SMALL, LARGE]

#: Three parts of an upload.
_LARGE_BYTES = 17 << 20


def random_zip(key: str, content: bytes) -> bytes:
    """An archive that is as large as its content, which is not deflated: that takes seconds."""
    return make_zip(member_of(key), content, compression=zipfile.ZIP_STORED)


@contextmanager
def large_source() -> Iterator[ArchiveServer]:
    """Run a source with three small archives and a large one."""
    with ArchiveServer(generate=False) as server:
        for key in SMALL:
            server.publish(key, good_zip(key, key.encode()))
        server.publish(LARGE, random_zip(LARGE, os.urandom(_LARGE_BYTES)))
        yield server


def on(
    kinds: Collection[str],
    answer: Answer | Callable[[Forward], Answer | None],
    *,
    first: int = 1,
    last: int | None = None,
    of: str = "",
) -> Fault:
    """Return a fault of requests.

    Args:
        kinds: Kinds of requests.
        answer: The answer, or what makes it.
        first: The first request that it is for, of those that it could be for.
        last: The last one; None for all.
        of: What the key contains.
    """
    count = 0

    def fault(request: Request, forward: Forward) -> Answer | None:
        nonlocal count
        if request.kind not in kinds or of not in request.key:
            return forward()
        count += 1
        if count < first or (last is not None and count > last):
            return forward()
        return answer(forward) if callable(answer) else answer

    return fault


def _entry(key: str) -> bytes:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
        '<ETag>"e"</ETag><Size>5</Size></Contents>'
    ).encode()


def naming(client: ObjectClient, *keys: str) -> Fault:
    """Return what adds keys to each listing, as a server does that ignores the prefix."""
    prefix = client.url.partition("://")[2].partition("/")[2]
    added = b"".join(_entry(f"{prefix}/{key}" if prefix else key) for key in keys)

    def answer(forward: Forward) -> Answer:
        real = forward()
        body = real.body.replace(b"</ListBucketResult>", added + b"</ListBucketResult>")
        headers = {name: text for name, text in real.headers.items() if name != "Content-Length"}
        return Answer(real.status, headers, body)

    return on(["list"], answer)


@define
class Scene:
    """Collections into one prefix.

    Attributes:
        source: What is collected.
        proxy: What is in front of the store.
        server: The bucket as it is.
        bucket: The bucket as it is reached through the proxy.
        url: The output.
        state: The local folder of the run.
        keys: What the source has.
    """

    source: ArchiveServer
    proxy: FaultProxy
    server: Bucket
    bucket: Bucket
    url: str
    state: Path
    keys: Sequence[str] = tuple(KEYS)

    def config(self, **changes: Any) -> dict[str, Any]:
        """The configuration of a run."""
        return {
            "output_directory": self.url,
            "storage": dict(self.bucket.storage),
            "state_directory": str(self.state),
            "source_url": self.source.url,
            "listing_url": self.source.url,
            "discovery": "listing",
            "markets": ["spot"],
            "symbols": ["BTCUSDT"],
            "data_types": ["klines", "trades"],
            "intervals": ["1h"],
            "partitions": "daily",
            "date_range": {"start": "2025-03-01", "end": "2025-03-05"},
            "max_parallel_downloads": 2,
            **changes,
        }

    async def collect(self, **changes: Any) -> CollectionReport:
        """Collect."""
        return await run_collection(self.config(**changes))

    def stored(self) -> dict[str, bytes]:
        """Everything below `data/`, as another program reads it."""
        client = self.server.open(self.url).client
        keys = [info.key for info in client.objects("data/")]
        return {key: client.read(key) or b"" for key in keys}

    def check_stored(self) -> None:
        """Every archive has its sidecar, and the digest that this states."""
        stored = self.stored()
        for key in (key for key in stored if key.endswith(".zip")):
            sidecar = stored[f"{key}.CHECKSUM"].decode()
            assert sidecar.split()[0] == sha256(stored[key]).hexdigest(), key

    async def complete(self) -> None:
        """Let a run succeed; everything is there then."""
        self.proxy.clear()
        report = await self.collect()
        assert report.status == "complete", report
        stored = self.stored()
        assert set(stored) == {*self.keys, *(f"{key}.CHECKSUM" for key in self.keys)}
        self.check_stored()
