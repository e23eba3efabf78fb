"""TLS in front of a server that speaks none, as a source on loopback does not."""

from __future__ import annotations

import asyncio

from attrs import define
from tests.proxies.loopback import LoopbackServer, Place, pump

__all__ = ["TlsFront"]


@define(eq=False)
class TlsFront(LoopbackServer):
    """Takes TLS off, and hands on what is inside.

    Args:
        behind: The server that is asked.
        tls: How TLS is spoken.
    """

    behind: Place = ("127.0.0.1", 0)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        await pump((reader, writer), await self.connect(self.behind))
