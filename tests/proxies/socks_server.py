"""A SOCKS server on loopback that knows names which no resolver knows.

SOCKS 5 is RFC 1928, its user names and passwords RFC 1929; SOCKS 4 and 4a are two pages by their
authors. Only CONNECT is served.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Literal

from attrs import define, field, frozen
from tests.proxies.loopback import Gone, LoopbackServer, Place, pump

__all__ = ["Asked", "SocksServer"]

#: Replies of SOCKS 5: it worked, the server's rules forbid it, the host cannot be reached.
GRANTED, FORBIDDEN, UNREACHABLE = 0, 2, 4

_NO_AUTHENTICATION, _PASSWORD, _NOTHING_FITS = 0, 2, 255


@frozen
class Asked:
    """One connection that the proxy was asked for.

    Attributes:
        version: 4 or 5.
        kind: How the client wrote the host: as a name, which the proxy resolves, or an address.
        user: `name:password`, or the name alone with SOCKS 4; None where there is none.
    """

    version: int
    kind: Literal["name", "ipv4", "ipv6"]
    host: str
    port: int
    user: str | None


@define(eq=False)
class SocksServer(LoopbackServer):
    """Opens connections for those who ask in SOCKS 4, 4a or 5.

    Args:
        names: Hosts that the proxy alone can resolve, and where they are.
        users: Who may use it, with their passwords; None for all.
        reply: What it answers, where it does not connect: a reply of SOCKS 5.
        cut_after: Connections break off after so many bytes from the server behind.
        is_silent: Whether it says nothing, until the client gives up.

    Attributes:
        log: What it was asked, in order.
    """

    names: Mapping[str, Place] = field(factory=dict)
    users: Mapping[str, str] | None = None
    reply: int = GRANTED
    cut_after: int | None = None
    is_silent: bool = False
    log: list[Asked] = field(init=False, factory=list)

    def url(self, scheme: str = "socks5h") -> str:
        """Where it listens, as `proxy` has it."""
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def hosts(self) -> list[str]:
        """The hosts that were asked for, in order."""
        return [asked.host for asked in self.log]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        version = (await reader.readexactly(1))[0]
        if self.is_silent:
            await reader.read()
            return
        if version not in {4, 5}:
            raise Gone(f"no version of SOCKS: {version}")
        read = _Version5(reader, writer, self.users) if version == 5 else _Version4(reader, writer)
        asked = await read.asked()
        self.log.append(asked)
        if self.reply != GRANTED:
            await read.answer(self.reply)
            return
        try:
            behind = await self.connect(self._place(asked))
        except OSError:
            await read.answer(UNREACHABLE)
            return
        await read.answer(GRANTED)
        await pump((reader, writer), behind, self.cut_after)

    def _place(self, asked: Asked) -> Place:
        if asked.kind != "name":
            return asked.host, asked.port
        if asked.host not in self.names:
            raise OSError(f"{asked.host} cannot be resolved")
        return self.names[asked.host]


@frozen
class _Version5:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    users: Mapping[str, str] | None

    async def asked(self) -> Asked:
        user = await self._user()
        version, command, _, kind = await self.reader.readexactly(4)
        if (version, command) != (5, 1):
            raise Gone("not a CONNECT")
        if kind == 1:
            host = socket.inet_ntop(socket.AF_INET, await self.reader.readexactly(4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, await self.reader.readexactly(16))
        else:
            host = await self._text()
        (port,) = struct.unpack("!H", await self.reader.readexactly(2))
        kinds: dict[int, Literal["name", "ipv4", "ipv6"]] = {1: "ipv4", 3: "name", 4: "ipv6"}
        return Asked(5, kinds[kind], host, port, user)

    async def _user(self) -> str | None:
        """Agree on a method, and learn who asks.

        Raises:
            Gone: The user or the password is wrong.
        """
        count = (await self.reader.readexactly(1))[0]
        offered = await self.reader.readexactly(count)
        wanted = _NO_AUTHENTICATION if self.users is None else _PASSWORD
        if wanted not in offered:
            self.writer.write(bytes((5, _NOTHING_FITS)))
            await self.writer.drain()
            raise Gone("no method fits")
        self.writer.write(bytes((5, wanted)))
        if self.users is None:
            return None
        await self.reader.readexactly(1)
        name, password = await self._text(), await self._text()
        is_known = self.users.get(name) == password
        self.writer.write(bytes((1, 0 if is_known else 1)))
        await self.writer.drain()
        if not is_known:
            raise Gone("a wrong password")
        return f"{name}:{password}"

    async def _text(self) -> str:
        size = (await self.reader.readexactly(1))[0]
        return (await self.reader.readexactly(size)).decode()

    async def answer(self, reply: int) -> None:
        self.writer.write(bytes((5, reply, 0, 1)) + bytes(6))
        await self.writer.drain()


@frozen
class _Version4:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def asked(self) -> Asked:
        command, port, address = struct.unpack("!BH4s", await self.reader.readexactly(7))
        if command != 1:
            raise Gone("not a CONNECT")
        user = await self._text() or None
        if address[:3] == b"\0\0\0" and address[3]:  # 4a: no such address, a name follows
            return Asked(4, "name", await self._text(), port, user)
        return Asked(4, "ipv4", socket.inet_ntop(socket.AF_INET, address), port, user)

    async def _text(self) -> str:
        return (await self.reader.readuntil(b"\0"))[:-1].decode()

    async def answer(self, reply: int) -> None:
        self.writer.write(bytes((0, 90 if reply == GRANTED else 91)) + bytes(6))
        await self.writer.drain()
