"""No request goes to a host that is not named, and none goes without TLS unless that is allowed."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohappyeyeballs
import pytest
import trustme
from tests.faults.tls_source import ARCHIVES, speaking, tls_source, trust
from tests.proxies.forward_proxy import ForwardProxy
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.errors import ConfigurationError, ListingError
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Body, Redirect

#: No resolver knows it; these tests lead it to loopback.
NAMED = "mirror.example"


@pytest.fixture
def other() -> Iterator[ArchiveServer]:
    """Another server that has everything."""
    with ArchiveServer() as server:
        yield server


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whoever is connected to; it must be loopback, whatever a source says."""
    addresses: list[Any] = []
    connect = aiohappyeyeballs.start_connection

    async def remember(addr_infos: Any, **options: Any) -> socket.socket:
        for _, _, _, _, address in addr_infos:
            assert ipaddress.ip_address(address[0]).is_loopback, address
            addresses.append(address)
        return await connect(addr_infos, **options)

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", remember)
    return addresses


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mirror.example` is on loopback."""
    whole = socket.getaddrinfo

    def lookup(host: str, *rest: Any, **options: Any) -> Any:
        return whole("127.0.0.1" if host == NAMED else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def place(server: ArchiveServer) -> str:
    """Host and port of a server."""
    return server.url.removeprefix("http://")


def reason_of(collection: Collection, report: Any) -> str:
    """Why the one archive failed, at once."""
    assert report.totals["failed"] == 1
    assert collection.sleeps.waits == [], "it is not tried again"
    return str(report.problems[0].reason)


# Redirects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_a_host_that_is_not_named_is_refused_with_both_places(
    collection: Collection, other: ArchiveServer, status: int
) -> None:
    collection.server.inject(KEY, Redirect(f"{other.url}/{KEY}", status), endless=True)
    reason = reason_of(collection, await collection.run())
    assert f"{collection.server.url}/{KEY}: redirect to `{other.url}/" in reason
    assert "does not name that loopback address" in reason
    assert other.requests == []


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "that link-local address"),
        ("http://[fe80::1]/", "that link-local address"),
        ("https://10.0.0.1/x", "that private address"),
        ("https://192.168.1.1/x", "that private address"),
        ("//172.16.0.1/x", "that private address"),
        ("http://[::1]:1/x", "that loopback address"),
        ("http://localhost:1/x", "that loopback address"),
        ("http://[::ffff:127.0.0.1]:1/", "that loopback address"),
        ("http://2130706433:1/", "that host"),
        ("https://elsewhere.example/x", "that host"),
        ("https://127.0.0.1@elsewhere.example/x", "that host"),
        ("file:///etc/passwd", "only http and https"),
        ("ftp://127.0.0.1/x", "only http and https"),
        ("data:application/zip,x", "only http and https"),
        ("javascript:alert(1)", "only http and https"),
        ("HTTPS:///x", "only http and https"),
        ("http://[", "not a URL"),
        ("http://127.0.0.1:99999/", "not a URL"),
    ],
)
async def test_a_redirect_to_an_address_or_a_scheme_of_no_source_is_refused(
    collection: Collection, location: str, why: str
) -> None:
    collection.server.inject(KEY, Redirect(location), endless=True)
    reason = reason_of(collection, await collection.run(allow_http=True))
    assert why in reason
    assert f"{collection.server.url}/{KEY}: redirect to `" in reason
    assert collection.requested() == [KEY]


async def test_a_message_of_a_redirect_is_short_and_on_one_line(collection: Collection) -> None:
    location = "https://e.example/\u202e" + "x" * 10_000
    collection.server.inject(KEY, Redirect(location), endless=True)
    reason = reason_of(collection, await collection.run())
    assert reason.isprintable()
    assert len(reason) < 400


@pytest.mark.usefixtures("resolved")
async def test_a_redirect_to_a_named_host_without_tls_needs_leave(
    collection: Collection, other: ArchiveServer
) -> None:
    host = f"{NAMED}:{other.url.rpartition(':')[2]}"
    collection.server.inject(KEY, Redirect(f"http://{host}/{KEY}"), endless=True)
    reason = reason_of(collection, await collection.run(redirect_hosts=[host]))
    assert "without TLS; set `allow_http: true`" in reason
    assert other.requests == []
    report = await collection.run(redirect_hosts=[host], allow_http=True)
    assert report.totals["verified"] == 1
    assert other.count(KEY) == 1


@pytest.mark.usefixtures("resolved")
async def test_a_source_without_tls_needs_leave(collection: Collection) -> None:
    collection.config["source_url"] = f"http://{NAMED}:{collection.server.url.rpartition(':')[2]}"
    with pytest.raises(ConfigurationError, match=r"\$\.source_url.*allow_http"):
        await collection.run()
    assert collection.requested() == []
    assert (await collection.run(allow_http=True)).totals["verified"] == 1


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_redirect_gives_up_tls_only_to_a_named_host_and_with_leave(
    collection: Collection, other: ArchiveServer, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, processes: int,
) -> None:  # fmt: skip
    authority = trustme.CA()
    trust(authority, tmp_path, monkeypatch.setenv)
    for key, body in ARCHIVES.items():
        other.put(key, body)
    async with tls_source(speaking(authority, "127.0.0.1"), other.url) as source:
        collection.config |= {"source_url": str(source.base), "processes": processes}
        for changes, why in (
            ({}, "does not name that loopback address"),
            ({"allow_http": True}, "does not name that loopback address"),
            ({"redirect_hosts": [place(other)]}, "it gives up TLS; set `allow_http: true`"),
            ({"second_source_url": other.url}, "it gives up TLS; set `allow_http: true`"),
        ):
            assert why in reason_of(collection, await collection.run(**changes))
        assert other.requests == []
        report = await collection.run(redirect_hosts=[place(other)], allow_http=True)
        assert report.totals["verified"] == 1
        assert [request.path for request in other.requests] == list(ARCHIVES)


async def test_worker_processes_ask_no_host_that_is_not_named(
    collection: Collection, other: ArchiveServer
) -> None:
    collection.server.inject("data/*", Redirect(f"{other.url}/{KEY}"), endless=True)
    reason = reason_of(collection, await collection.run(processes=2))
    assert "does not name that loopback address" in reason
    assert other.requests == []


async def test_a_listing_beside_the_source_names_its_own_port_alone(
    collection: Collection, other: ArchiveServer
) -> None:
    with ArchiveServer() as listing:
        collection.server.inject(KEY, Redirect(f"{other.url}/{KEY}"), endless=True)
        calendar = {"discovery": "calendar", "listing_url": listing.url}
        reason_of(collection, await collection.run(**calendar))
        assert other.requests == []
        collection.server.heal()
        collection.server.inject(KEY, Redirect(f"{listing.url}/{KEY}"))
        assert (await collection.run(**calendar)).totals["verified"] == 1


async def test_a_second_source_is_not_told_the_first_ones_user(
    collection: Collection, other: ArchiveServer
) -> None:
    collection.config["source_url"] = collection.server.url.replace("//", "//me:pw@")
    collection.server.inject(KEY, Body(b"no zip"), endless=True)
    report = await collection.run(second_source_url=other.url)
    assert report.totals["verified"] == 1
    assert all("Authorization" in request.headers for request in collection.server.requests)
    assert other.requests
    assert not any("Authorization" in request.headers for request in other.requests)


# Listings ------------------------------------------------------------------------------------


def listing(*, keys: tuple[str, ...] = (), folders: tuple[str, ...] = (), rest: str = "") -> Body:
    """A page of a listing, as S3 writes it."""
    entries = "".join(f"<Contents><Key>{key}</Key><Size>3</Size></Contents>" for key in keys)
    prefixes = "".join(f"<CommonPrefixes><Prefix>{it}</Prefix></CommonPrefixes>" for it in folders)
    more = rest or "<IsTruncated>false</IsTruncated>"
    return Body(f"<ListBucketResult>{more}{entries}{prefixes}</ListBucketResult>".encode())


@pytest.mark.parametrize("form", ["key", "folder", "marker"])
async def test_a_listing_that_names_other_hosts_leads_nowhere(
    collection: Collection, other: ArchiveServer, form: str
) -> None:
    elsewhere = f"{other.url}/{KEY}"
    marker = f"<IsTruncated>true</IsTruncated><NextMarker>{elsewhere}</NextMarker>"
    page = {
        "key": listing(keys=(elsewhere,)),
        "folder": listing(folders=(f"{other.url}/",)),
        "marker": listing(rest=marker),
    }[form]
    collection.server.inject("list:*", page, endless=True)
    with pytest.raises(ListingError):
        await collection.run(discovery="listing", listing_url=collection.server.url)
    assert other.requests == []


async def test_a_listing_that_lies_elsewhere_is_none(
    collection: Collection, other: ArchiveServer
) -> None:
    collection.server.inject("list:*", Redirect(f"{other.url}/?prefix=data/"), endless=True)
    report = await collection.run(listing_url=collection.server.url)
    assert report.totals["verified"] == 1, "the calendar knows the archive, too"
    assert "does not name that loopback address" in report.warnings[0]
    assert other.requests == []


# The environment -----------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2])
async def test_proxies_of_the_environment_are_used_and_passwords_of_files_are_not(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text(
        f"machine {NAMED} login me password hunter2\n"
        "machine 127.0.0.1 login me password hunter2\ndefault login a password hunter2\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    port = int(collection.server.url.rpartition(":")[2])
    collection.config |= {"source_url": f"http://{NAMED}", "allow_http": True}
    with ForwardProxy(names={NAMED: ("127.0.0.1", port)}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        report = await collection.run(processes=processes)
    assert report.totals["verified"] == 1
    assert set(proxy.hosts) == {NAMED}
    assert {asked.user for asked in proxy.log} == {None}
    headers = [name for request in collection.server.requests for name in request.headers]
    assert not {"Authorization", "Proxy-Authorization"} & set(headers)
