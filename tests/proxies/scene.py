"""An archive that has a made-up name, with TLS and without, and proxies that know the name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from attrs import define, frozen
from tests.faults.tls_source import speaking
from tests.proxies.forward_proxy import ForwardProxy
from tests.proxies.loopback import Place
from tests.proxies.socks_server import SocksServer
from tests.proxies.tls_front import TlsFront
from tests.proxies.watch.sitecustomize import MADE_UP
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.testing import ArchiveServer

__all__ = [
    "CDN",
    "HTTP",
    "HTTPS",
    "KINDS",
    "ORIGINS",
    "OpenProxy",
    "Scene",
    "open_scene",
    "place_of",
]

#: The source without TLS and with it, and another server with TLS; no resolver knows them.
HTTP, HTTPS, CDN = f"plain{MADE_UP}", f"secure{MADE_UP}", f"cdn{MADE_UP}"

ORIGINS = (f"http://{HTTP}", f"https://{HTTPS}")

#: The schemes of proxies.
KINDS = ("http", "https", "socks5", "socks5h", "socks4", "socks4a")


def place_of(server: ArchiveServer) -> Place:
    """Where a server listens."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


@frozen
class OpenProxy:
    """A proxy that serves.

    Attributes:
        url: As `proxy` has it.
        server: What it is asked, and how it fails.
    """

    url: str
    server: ForwardProxy | SocksServer

    @property
    def hosts(self) -> list[str]:
        """The hosts that it was asked for, in order."""
        return self.server.hosts


@define
class Scene:
    """What a test of proxies runs with.

    Attributes:
        collection: Its output directory; its server is the source.
        other: Another server that has everything.
        authority: Whom the sources' certificates are of.
        ca_bundle: The file that holds its certificate.
        names: The made-up names, and where they are.
        lookups: The file of names that were looked up.
    """

    collection: Collection
    other: ArchiveServer
    authority: trustme.CA
    ca_bundle: Path
    names: Mapping[str, Place]
    lookups: Path

    @contextmanager
    def proxy(
        self,
        kind: str,
        user: str = "",
        password: str = "",
        *,
        names: Mapping[str, Place] | None = None,
    ) -> Iterator[OpenProxy]:
        """Open a proxy that knows the names, and wants a user where one is given.

        Args:
            kind: Its scheme.
            user: As the URL has it.
            password: What it really is; the URL has it percent-encoded.
            names: Other names than all.
        """
        known = self.names if names is None else names
        users = {user: password} if user else None
        quoted = "".join(f"%{byte:02X}" for byte in password.encode())
        proxy: ForwardProxy | SocksServer
        if kind.startswith("socks"):
            proxy = SocksServer(names=known, users=users)
        else:
            tls = speaking(self.authority, "127.0.0.1") if kind == "https" else None
            proxy = ForwardProxy(names=known, users=users, tls=tls)
        with proxy:
            at = f"{user}:{quoted}@" if user else ""
            yield OpenProxy(f"{kind}://{at}127.0.0.1:{proxy.port}", proxy)

    async def run(self, origin: str, **changes: Any) -> CollectionReport:
        """Collect from one of `ORIGINS`."""
        keys = {"source_url": origin, "ca_bundle": str(self.ca_bundle), "allow_http": True}
        return await self.collection.run(**{**keys, **changes})

    def looked_up(self) -> set[str]:
        """The made-up names that were looked up, in this process or in a child."""
        names = self.lookups.read_text(encoding="utf-8").split()
        return {name for name in names if name.endswith(MADE_UP)}

    def headers(self) -> set[str]:
        """The names of all headers that the source was sent."""
        return {name for request in self.collection.server.requests for name in request.headers}


@contextmanager
def open_scene(collection: Collection, folder: Path, lookups: Path) -> Iterator[Scene]:
    """Put TLS in front of the source, and another server beside it."""
    authority = trustme.CA()
    bundle = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    source = place_of(collection.server)
    with (
        ArchiveServer() as other,
        TlsFront(behind=source, tls=speaking(authority, HTTPS)) as front,
        TlsFront(behind=place_of(other), tls=speaking(authority, CDN)) as cdn,
    ):
        names = {HTTP: source, HTTPS: ("127.0.0.1", front.port), CDN: ("127.0.0.1", cdn.port)}
        yield Scene(collection, other, authority, bundle, names, lookups)
