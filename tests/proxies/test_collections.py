"""Requests go through the proxy, and names of hosts go with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from tests.faults.tls_source import speaking
from tests.proxies.forward_proxy import ForwardProxy
from tests.proxies.scene import CDN, HTTP, HTTPS, KINDS, ORIGINS, Scene, place_of
from tests.proxies.tls_front import TlsFront
from tests.workflows.conftest import BIG_KEY, KEY, SIDECAR, big_zip

from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing.faults import Body, Redirect

#: A password that a URL cannot hold as it is; SOCKS takes nothing but ASCII.
PASSWORD = "p:w/@#%"
PASSWORDS = {"http": "p:w/@#%ü", "https": "币安", "socks5": PASSWORD, "socks5h": PASSWORD}


def host_of(origin: str) -> str:
    """The name in one of `ORIGINS`."""
    return origin.partition("://")[2]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_goes_through_its_proxy(
    scene: Scene, kind: str, origin: str, processes: int
) -> None:
    with scene.proxy(kind) as proxy:
        report = await scene.run(origin, proxy=proxy.url, processes=processes)
    assert report.totals["verified"] == 1
    assert set(proxy.hosts) == {host_of(origin)}
    assert sorted(scene.collection.requested()) == [KEY, SIDECAR]
    assert scene.looked_up() == set()
    assert {request.headers["Host"] for request in scene.collection.server.requests} == {
        host_of(origin)
    }
    assert not {"Authorization", "Proxy-Authorization", "Proxy-Connection"} & scene.headers()


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("origin", ORIGINS)
async def test_without_a_proxy_the_name_is_looked_up_and_not_found(
    scene: Scene, origin: str, processes: int
) -> None:
    """What the other tests prove by the file of lookups is worth something."""
    retry = RetryPolicy(max_retries=0)
    report = await scene.run(origin, proxy="none", processes=processes, retry=retry)
    assert report.totals["failed"] == 1
    assert scene.looked_up() == {host_of(origin)}


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_listing_comes_through_the_proxy(scene: Scene, kind: str, origin: str) -> None:
    with scene.proxy(kind) as proxy:
        report = await scene.run(
            origin, proxy=proxy.url, discovery="listing", listing_url=f"{origin}/"
        )
    assert report.totals["verified"] == 1
    assert report.warnings == ()
    assert scene.collection.server.count("list:*") > 0
    assert set(proxy.hosts) == {host_of(origin)}
    assert scene.looked_up() == set()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_large_body_comes_through_the_proxy(scene: Scene, kind: str) -> None:
    scene.collection.publish(BIG_KEY, big_zip())
    with scene.proxy(kind) as proxy:
        report = await scene.run(ORIGINS[1], proxy=proxy.url, data_types=["trades"], intervals=None)
    assert report.totals["verified"] == 1
    assert scene.collection.path(BIG_KEY).read_bytes() == scene.collection.server.read(BIG_KEY)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tunnel_carries_more_than_one_request(scene: Scene, kind: str) -> None:
    with scene.proxy(kind) as proxy:
        report = await scene.run(ORIGINS[1], proxy=proxy.url, max_parallel_downloads=1)
    assert report.totals["verified"] == 1
    assert len(proxy.hosts) == 1


# Which proxy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("origin", "variable"),
    [
        (ORIGINS[0], "HTTP_PROXY"),
        (ORIGINS[0], "all_proxy"),
        (ORIGINS[1], "HTTPS_PROXY"),
        (ORIGINS[1], "https_proxy"),
        (ORIGINS[1], "ALL_PROXY"),
    ],
)
async def test_a_variable_names_the_proxy(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, origin: str, variable: str, processes: int
) -> None:
    with scene.proxy("http") as proxy:
        monkeypatch.setenv(variable, proxy.url)
        report = await scene.run(origin, processes=processes)
    assert report.totals["verified"] == 1
    assert set(proxy.hosts) == {host_of(origin)}
    assert scene.looked_up() == set()


async def test_a_variable_needs_no_scheme(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene.proxy("http", "me", "pw") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.removeprefix("http://"))
        assert (await scene.run(ORIGINS[1])).totals["verified"] == 1


async def test_the_configuration_wins_over_the_environment(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene.proxy("socks5h") as proxy, scene.proxy("http") as other:
        monkeypatch.setenv("HTTPS_PROXY", other.url)
        assert (await scene.run(ORIGINS[1], proxy=proxy.url)).totals["verified"] == 1
        assert other.hosts == []


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("has_setting", [False, True])
@pytest.mark.parametrize("entry", ["*", HTTP, ".test", f"{HTTP}:80"])
async def test_no_proxy_is_asked_directly(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, entry: str, *, has_setting: bool
) -> None:
    with scene.proxy("http") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv(name, f"other.example, {entry}")
        changes = {"proxy": proxy.url} if has_setting else {}
        report = await scene.run(ORIGINS[0], **changes)
    assert proxy.hosts == []
    assert report.totals["failed"] == 1, "its name is made up"
    assert scene.looked_up() == {HTTP}


async def test_no_proxy_leaves_other_hosts_to_the_proxy(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", f"{HTTP}:8080,other.test,127.0.0.0/8")
    with scene.proxy("http") as proxy:
        assert (await scene.run(ORIGINS[0], proxy=proxy.url)).totals["verified"] == 1


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_never_asked_through_a_proxy(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, host: str, processes: int
) -> None:
    address = scene.collection.server.url.replace("127.0.0.1", host)
    with scene.proxy("http") as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        for changes in ({}, {"proxy": proxy.url}):
            report = await scene.run(address, force_redownload=True, processes=processes, **changes)
            assert report.totals["verified"] == 1
    assert proxy.hosts == []


# Who asks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", PASSWORDS)
async def test_a_proxy_is_told_its_user_and_the_source_is_not(
    scene: Scene, kind: str, origin: str
) -> None:
    with scene.proxy(kind, "me", PASSWORDS[kind]) as proxy:
        report = await scene.run(origin, proxy=proxy.url)
    assert report.totals["verified"] == 1
    assert {asked.user for asked in proxy.server.log} == {f"me:{PASSWORDS[kind]}"}
    assert not {"Authorization", "Proxy-Authorization"} & scene.headers()


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", ["http", "socks5h"])
async def test_the_sources_user_is_not_told_to_the_proxy(
    scene: Scene, kind: str, origin: str
) -> None:
    with scene.proxy(kind, "me", PASSWORD) as proxy:
        report = await scene.run(origin.replace("://", "://you:theirs@"), proxy=proxy.url)
    assert report.totals["verified"] == 1
    assert {asked.user for asked in proxy.server.log} == {f"me:{PASSWORD}"}
    assert "Authorization" in scene.headers()
    assert "Proxy-Authorization" not in scene.headers()
    if isinstance(proxy.server, ForwardProxy) and origin == ORIGINS[1]:
        assert all("\nAuthorization" not in asked.head for asked in proxy.server.log)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("origin", ORIGINS)
async def test_no_file_of_passwords_is_read(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str, processes: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text(
        f"machine 127.0.0.1 login me password hunter2\nmachine {host_of(origin)} login me "
        "password hunter2\ndefault login me password hunter2\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    with scene.proxy("http") as proxy:
        report = await scene.run(origin, proxy=proxy.url, processes=processes)
    assert report.totals["verified"] == 1
    assert {asked.user for asked in proxy.server.log} == {None}
    assert not {"Authorization", "Proxy-Authorization"} & scene.headers()


# Where redirects lead --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_redirect_to_a_named_host_goes_through_the_proxy(scene: Scene, kind: str) -> None:
    scene.collection.server.inject(KEY, Redirect(f"https://{CDN}/{KEY}"), endless=True)
    with scene.proxy(kind) as proxy:
        report = await scene.run(ORIGINS[1], proxy=proxy.url, redirect_hosts=[CDN])
    assert report.totals["verified"] == 1
    assert set(proxy.hosts) == {HTTPS, CDN}
    assert [request.path for request in scene.other.requests] == [KEY]
    assert scene.looked_up() == set()


async def test_a_redirect_to_this_machine_is_followed_directly(scene: Scene) -> None:
    host, port = place_of(scene.other)
    scene.collection.server.inject(KEY, Redirect(f"{scene.other.url}/{KEY}"), endless=True)
    with scene.proxy("http") as proxy:
        report = await scene.run(ORIGINS[0], proxy=proxy.url, redirect_hosts=[f"{host}:{port}"])
    assert report.totals["verified"] == 1
    assert set(proxy.hosts) == {HTTP}
    assert scene.other.count(KEY) == 1


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("target", [f"https://{CDN}", "https://10.0.0.1", "http://169.254.169.254"])
async def test_a_redirect_to_an_unnamed_host_is_refused(
    scene: Scene, kind: str, target: str
) -> None:
    scene.collection.server.inject(KEY, Redirect(f"{target}/{KEY}"), endless=True)
    with scene.proxy(kind) as proxy:
        report = await scene.run(ORIGINS[1], proxy=proxy.url)
    assert report.totals["failed"] == 1
    assert "the configuration does not name that" in report.problems[0].reason
    assert set(proxy.hosts) == {HTTPS}
    assert scene.other.requests == []


async def test_a_second_source_is_asked_through_the_proxy(scene: Scene) -> None:
    scene.collection.server.inject(KEY, Body(b"no zip"), endless=True)
    with scene.proxy("http") as proxy:
        report = await scene.run(ORIGINS[1], proxy=proxy.url, second_source_url=f"https://{CDN}/")
    assert report.totals["verified"] == 1
    assert set(proxy.hosts) == {HTTPS, CDN}


# Certificates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
async def test_a_certificate_of_ssl_cert_file_is_trusted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(scene.ca_bundle))
    with scene.proxy(kind) as proxy:
        report = await scene.run(ORIGINS[1], proxy=proxy.url, ca_bundle=None)
    assert report.totals["verified"] == 1


@pytest.mark.parametrize("name", [HTTPS, CDN])
@pytest.mark.parametrize("kind", ["http", "socks5h"])
async def test_a_certificate_that_is_not_good_is_refused_behind_a_proxy(
    scene: Scene, kind: str, name: str
) -> None:
    authority = trustme.CA() if name == HTTPS else scene.authority  # a stranger, or another name
    source = place_of(scene.collection.server)
    with (
        TlsFront(behind=source, tls=speaking(authority, name)) as front,
        scene.proxy(kind, names={HTTPS: ("127.0.0.1", front.port)}) as proxy,
    ):
        report = await scene.run(ORIGINS[1], proxy=proxy.url)
    assert report.totals["failed"] == 1
    assert "certificate verify failed" in report.problems[0].reason
    assert scene.collection.server.requests == []
    assert scene.collection.sleeps.waits == [], "a certificate does not become good"


async def test_a_proxy_that_cannot_be_trusted_is_told_nothing(scene: Scene) -> None:
    stranger = speaking(trustme.CA(), "127.0.0.1")
    with ForwardProxy(names=scene.names, tls=stranger) as proxy:
        url = proxy.url.replace("://", "://me:hunter2@")
        report = await scene.run(ORIGINS[1], proxy=url)
    assert report.totals["failed"] == 1
    assert "certificate verify failed" in report.problems[0].reason
    assert proxy.log == []
