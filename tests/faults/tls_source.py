"""Sources that speak TLS, well or badly, and certificates for them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import trustme
from tests.http.scripted_server import Peer, Script, Source, answer, serving
from tests.workflows.conftest import KEY, SIDECAR, make_zip, member_of, sidecar_of

__all__ = ["ARCHIVES", "old_source", "speaking", "tls_source", "trust"]

_ZIP = make_zip(member_of(KEY), b"1,2,3\n")

#: One archive and its sidecar, as a source holds them.
ARCHIVES: Mapping[str, bytes] = {KEY: _ZIP, SIDECAR: sidecar_of(_ZIP, KEY.rpartition("/")[2])}


def speaking(
    authority: trustme.CA,
    *names: str,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> ssl.SSLContext:
    """How a server speaks TLS that has a certificate for these names, and for these times."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert(*names, not_before=not_before, not_after=not_after)
    certificate.configure_cert(context)
    return context


def trust(authority: trustme.CA, folder: Path, setenv: Callable[[str, str], None]) -> None:
    """Let the system trust an authority, as SSL_CERT_FILE does."""
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    setenv("SSL_CERT_FILE", str(path))


def _archives(location: str | None) -> Script:
    async def script(peer: Peer) -> None:
        while True:
            key = (await peer.request()).split()[1].decode().lstrip("/")
            if location is not None:
                await peer.send(answer(b"", f"Location: {location}/{key}", status="302 Found"))
            elif key in ARCHIVES:
                await peer.send(answer(ARCHIVES[key]))
            else:
                await peer.send(answer(b"", status="404 Not Found"))

    return script


@asynccontextmanager
async def tls_source(
    tls: ssl.SSLContext | None, location: str | None = None
) -> AsyncIterator[Source]:
    """A source of `ARCHIVES`; it redirects all that it is asked for where a location is given."""
    async with serving(_archives(location), tls) as source:
        yield source


@contextmanager
def old_source(tls: ssl.SSLContext) -> Iterator[tuple[str, list[bytes]]]:
    """A source that tells of a handshake that fails, which asyncio's servers do not.

    Yields:
        Its address, and what it was asked for.
    """
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                with suppress(ssl.SSLError), listener.accept()[0] as peer:
                    if not peer.recv(1, socket.MSG_PEEK):  # the end, see below
                        return
                    with tls.wrap_socket(peer, server_side=True) as secured:
                        asked.append(secured.recv(1 << 16))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", asked
        socket.create_connection(listener.getsockname()).close()
        thread.join()
