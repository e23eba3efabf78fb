"""What the tests of a store share: keys, and a new store for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256

from crypto_lakehouse.core.protocols import Part, Store

__all__ = [
    "FOLDER",
    "KEY",
    "NAME",
    "NOTE",
    "OTHER",
    "SIDECAR",
    "BaseSuite",
    "digest",
    "fill",
    "leave",
]

FOLDER = "data/spot/daily/trades/BTCUSDT/"
NAME = "BTCUSDT-trades-2025-07-15.zip"
KEY = FOLDER + NAME
SIDECAR = KEY + ".CHECKSUM"
OTHER = FOLDER + "BTCUSDT-trades-2025-07-16.zip"
NOTE = {"verdict": "corrupt", "reason": "no readable zip"}


class BaseSuite:
    """Makes a store for each test."""

    def make_store(self) -> Store:
        """Make an empty store; called once for each test."""
        raise NotImplementedError(
            f"{type(self).__name__} lacks `make_store`, which must return a store"
        )

    def _run(self, check: Callable[[Store], Awaitable[None]]) -> None:
        async def checked() -> None:
            store = self.make_store()
            store.prepare()
            await check(store)

        asyncio.run(checked())


def digest(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return sha256(data).hexdigest()


async def fill(part: Part, *buffers: bytes) -> None:
    """Append some buffers to a part."""
    for buffer in buffers:
        await part.append(buffer)


async def leave(part: Part, *buffers: bytes) -> None:
    """Fill a part and end it without a commit."""
    await fill(part, *buffers)
    await part.close()
