"""An HTTP proxy on loopback that knows names which no resolver knows, and fails as it is told."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping

from attrs import define, field, frozen
from tests.proxies.loopback import Gone, LoopbackServer, Place, pump
from yarl import URL

__all__ = ["Asked", "Cut", "ForwardProxy", "Refuse", "Silent"]


@frozen
class Asked:
    """One request that the proxy was sent.

    Attributes:
        method: `CONNECT`, or that of a request for a whole URL.
        target: `host:port`, or the URL.
        host, port: Where it leads to, as the client wrote it.
        user: `name:password`, where the client sent them.
        head: All of it, as text.
    """

    method: str
    target: str
    host: str
    port: int
    user: str | None
    head: str


@frozen
class Refuse:
    """Answer with this status, and connect to nothing."""

    status: int


@frozen
class Cut:
    """Break off after so many bytes from the server behind."""

    after: int


@frozen
class Silent:
    """Say nothing, until the client gives up."""


Fault = Refuse | Cut | Silent


@define(eq=False)
class ForwardProxy(LoopbackServer):
    """Hands on requests for whole URLs, and tunnels that CONNECT asks for.

    Args:
        names: Hosts that the proxy alone can resolve, and where they are.
        users: Who may use it, with their passwords; None for all.
        faults: How the next requests fail; one each.
        tls: How TLS is spoken with the client itself; None for none.

    Attributes:
        log: What it was asked, in order.
    """

    names: Mapping[str, Place] = field(factory=dict)
    users: Mapping[str, str] | None = None
    faults: list[Fault] = field(factory=list)
    log: list[Asked] = field(init=False, factory=list)

    @property
    def url(self) -> str:
        """Where it listens, as `proxy` has it."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def hosts(self) -> list[str]:
        """The hosts that were asked for, in order."""
        return [asked.host for asked in self.log]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request, or one tunnel."""
        asked = _read((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
        self.log.append(asked)
        if self.users is not None and asked.user not in {":".join(it) for it in self.users.items()}:
            await _refuse(writer, 407, 'Proxy-Authenticate: Basic realm="test"\r\n')
            return
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Silent):
            await reader.read()
            return
        if isinstance(fault, Refuse):
            await _refuse(writer, fault.status)
            return
        try:
            behind = await self.connect(self._place(asked))
        except OSError:
            await _refuse(writer, 502)
            return
        if asked.method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            behind[1].write(_handed_on(asked))
        await pump((reader, writer), behind, fault.after if fault else None)

    def _place(self, asked: Asked) -> Place:
        place = self.names.get(asked.host)
        if place is None and asked.host in {"127.0.0.1", "::1"}:
            return asked.host, asked.port
        if place is None:
            raise OSError(f"{asked.host} cannot be resolved")
        return place


def _read(head: str) -> Asked:
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    if "://" not in target and method != "CONNECT":
        raise Gone("this is a proxy, and was asked as if it were the source")
    url = URL(target if "://" in target else f"http://{target}")
    headers = {name.lower(): text.strip() for name, _, text in (it.partition(":") for it in lines)}
    kind, _, credentials = headers.get("proxy-authorization", "").partition(" ")
    user = base64.b64decode(credentials).decode() if kind == "Basic" else None
    return Asked(method, target, url.host or "", url.port or 0, user, head)


def _handed_on(asked: Asked) -> bytes:
    """The request as the server behind gets it: a path, and nothing that is for the proxy."""
    _, *lines = asked.head.removesuffix("\r\n\r\n").split("\r\n")
    kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
    first = f"{asked.method} {URL(asked.target).raw_path_qs} HTTP/1.1"
    return "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1")


async def _refuse(writer: asyncio.StreamWriter, status: int, headers: str = "") -> None:
    head = f"HTTP/1.1 {status} No\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
