"""A proxy that fails is a failure of the request, is tried again, and shows no secret."""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.faults.secret_faults import PASSWORD, check
from tests.faults.test_security_secrets import Witness
from tests.faults.tls_source import speaking
from tests.proxies.forward_proxy import Cut, Fault, ForwardProxy, Refuse, Silent
from tests.proxies.scene import KINDS, ORIGINS, Scene
from tests.proxies.socks_server import FORBIDDEN, SocksServer
from tests.workflows.conftest import BIG_KEY, big_zip
from yarl import URL

from crypto_lakehouse.core.errors import ListingError
from crypto_lakehouse.http.retry import RetryPolicy

#: How a proxy of HTTP fails; and what is said of it, where one can know.
FAULTS: dict[str, tuple[Fault, str]] = {
    "403": (Refuse(403), "403"),
    "502": (Refuse(502), "502"),
    "503": (Refuse(503), "503"),
    "a cut": (Cut(after=0), ""),
    "a cut in the middle": (Cut(after=100), ""),
    "silence": (Silent(), ""),
}

#: Worker processes wait in earnest before they try again.
NO_RETRIES = RetryPolicy(max_retries=0)

#: Kinds of proxies that may want a user's name and password.
WITH_USERS = ("http", "https", "socks5", "socks5h")


def timeout_of(name: str) -> float:
    """How long the proxy may be silent, in seconds."""
    return 0.5 if name == "silence" else 10


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("name", FAULTS)
async def test_what_fails_once_is_tried_again(scene: Scene, name: str, origin: str) -> None:
    fault, _ = FAULTS[name]
    with scene.proxy("http") as proxy:
        assert isinstance(proxy.server, ForwardProxy)
        proxy.server.faults = [fault]
        report = await scene.run(origin, proxy=proxy.url, timeout_seconds=timeout_of(name))
    assert report.totals["verified"] == 1
    assert len(scene.collection.sleeps.waits) <= 1, "a client may do so itself"
    assert scene.looked_up() == set()


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("name", FAULTS)
async def test_what_fails_again_and_again_fails_the_archive(
    scene: Scene, name: str, origin: str
) -> None:
    fault, said = FAULTS[name]
    with scene.proxy("http") as proxy:
        assert isinstance(proxy.server, ForwardProxy)
        proxy.server.faults = [fault] * 50
        report = await scene.run(origin, proxy=proxy.url, timeout_seconds=timeout_of(name))
    assert report.totals["failed"] == 1
    assert said in report.problems[0].reason
    assert len(scene.collection.sleeps.waits) == 3
    assert scene.collection.stray_files() == []
    assert scene.looked_up() == set()


@pytest.mark.parametrize("kind", ["http", "socks5h"])
async def test_a_large_body_goes_on_where_the_proxy_broke_off(scene: Scene, kind: str) -> None:
    data = big_zip()
    scene.collection.publish(BIG_KEY, data)
    with scene.proxy(kind) as proxy:
        if isinstance(proxy.server, ForwardProxy):
            proxy.server.faults = [Cut(after=2_000_000)]
        else:
            proxy.server.cut_after = 2_000_000
        report = await scene.run(ORIGINS[1], proxy=proxy.url, data_types=["trades"], intervals=None)
    assert report.totals["verified"] == 1
    assert scene.collection.path(BIG_KEY).read_bytes() == data
    ranges = [request.headers.get("Range") for request in scene.collection.server.requests]
    assert any(ranges), "it did not begin anew"


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_that_is_down_is_named(
    scene: Scene, kind: str, origin: str, processes: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"{kind}://me:{PASSWORD}@127.0.0.1:{port}"
    report = await scene.run(origin, proxy=url, processes=processes, retry=NO_RETRIES)
    assert report.totals["failed"] == 1
    assert f"127.0.0.1:{port}" in report.problems[0].reason
    check([str(report.to_mapping())])
    assert scene.looked_up() == set(), "it is not asked directly instead"


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_the_name_of_a_proxy_that_there_is_none_of_is_named(scene: Scene, kind: str) -> None:
    name = "proxy.example.test"
    report = await scene.run(ORIGINS[1], proxy=f"{kind}://me:{PASSWORD}@{name}:3128")
    assert report.totals["failed"] == 1
    assert name in report.problems[0].reason
    check([str(report.to_mapping())])
    assert scene.looked_up() == {name}, "the proxy's own name is looked up, and no other"


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("kind", WITH_USERS)
@pytest.mark.parametrize("sent", ["", "me:wrong@"])
async def test_a_wrong_user_is_refused(scene: Scene, kind: str, origin: str, sent: str) -> None:
    with scene.proxy(kind, "me", PASSWORD) as proxy:
        place = URL(proxy.url).host_port_subcomponent
        report = await scene.run(origin, proxy=f"{kind}://{sent}{place}")
    assert report.totals["failed"] == 1
    if not kind.startswith("socks"):
        assert "407" in report.problems[0].reason
    assert scene.collection.server.requests == []
    assert scene.looked_up() == set()


@pytest.mark.parametrize("kind", ["socks5", "socks4"])
async def test_a_socks_proxy_that_forbids_it_is_a_failure(scene: Scene, kind: str) -> None:
    with scene.proxy(kind) as proxy:
        assert isinstance(proxy.server, SocksServer)
        proxy.server.reply = FORBIDDEN
        report = await scene.run(ORIGINS[1], proxy=proxy.url)
    assert report.totals["failed"] == 1
    assert len(scene.collection.sleeps.waits) == 3
    assert scene.looked_up() == set()


@pytest.mark.parametrize("kind", ["socks5", "socks4"])
async def test_a_silent_socks_proxy_times_out(scene: Scene, kind: str) -> None:
    with scene.proxy(kind) as proxy:
        assert isinstance(proxy.server, SocksServer)
        proxy.server.is_silent = True
        report = await scene.run(ORIGINS[1], proxy=proxy.url, timeout_seconds=0.1)
    assert report.totals["failed"] == 1
    assert len(scene.collection.sleeps.waits) == 3


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_what_is_no_proxy_is_a_failure(scene: Scene, kind: str) -> None:
    """A source answers as if it were asked for something that there is not."""
    _, port = scene.names["plain.example.test"]
    report = await scene.run(ORIGINS[1], proxy=f"{kind}://127.0.0.1:{port}", timeout_seconds=1)
    assert report.totals["failed"] == 1
    assert scene.looked_up() == set()


async def test_a_listing_that_the_proxy_refuses_is_none(scene: Scene) -> None:
    with scene.proxy("http") as proxy:
        assert isinstance(proxy.server, ForwardProxy)
        proxy.server.faults = [Refuse(403)] * 50
        with pytest.raises(ListingError):
            await scene.run(
                ORIGINS[1], proxy=proxy.url, discovery="listing", listing_url=ORIGINS[1]
            )
    assert scene.looked_up() == set()


# Secrets ---------------------------------------------------------------------------------------


@pytest.fixture
def witness(scene: Scene, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Witness:
    """Everything that is shown of a run through a proxy."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "shown").mkdir()
    scene.collection.config |= {"ca_bundle": str(scene.ca_bundle), "allow_http": True}
    return Witness(scene.collection, caplog, tmp_path / "shown")


@contextmanager
def failing(scene: Scene, name: str) -> Iterator[str]:
    """A proxy that fails, and its URL with a password in it."""
    if name == "a stranger":
        with ForwardProxy(tls=speaking(trustme.CA(), "127.0.0.1")) as stranger:
            yield stranger.url.replace("://", f"://me:{PASSWORD}@")
        return
    if name == "down":
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        yield f"http://me:{PASSWORD}@127.0.0.1:{port}"
        return
    kind = name.partition(" ")[0] if name.endswith(" wrong user") else "http"
    wanted = "another" if name.endswith(" wrong user") else PASSWORD
    with scene.proxy(kind, "me", wanted) as proxy:
        if isinstance(proxy.server, ForwardProxy) and name in FAULTS:
            proxy.server.faults = [FAULTS[name][0]] * 50
        place = URL(proxy.url).host_port_subcomponent
        yield f"{kind}://me:{PASSWORD}@{place}"


WAYS = ["well", *FAULTS, "a stranger", "down", *(f"{kind} wrong user" for kind in WITH_USERS)]


@pytest.mark.parametrize("from_environment", [False, True])
@pytest.mark.parametrize("name", WAYS)
async def test_a_proxys_password_is_shown_nowhere(
    scene: Scene, witness: Witness, monkeypatch: pytest.MonkeyPatch, name: str,
    *, from_environment: bool,
) -> None:  # fmt: skip
    with failing(scene, name) as url:
        keys: dict[str, Any] = {} if from_environment else {"proxy": url}
        if from_environment:
            monkeypatch.setenv("ALL_PROXY", url)
        shown: list[str] = []
        for origin in ORIGINS:
            timeout_s = timeout_of(name)
            shown += await witness.run(source_url=origin, timeout_seconds=timeout_s, **keys)
            shown += await witness.run(
                source_url=origin, listing_url=origin, discovery="listing",
                timeout_seconds=timeout_s, **keys,
            )  # fmt: skip
    assert any("RunNoted" in each and "***@127.0.0.1" in each for each in shown)
    witness.check(shown)


@pytest.mark.parametrize("name", WAYS)
async def test_an_error_that_is_raised_for_failures_shows_no_password(
    scene: Scene, name: str
) -> None:
    with failing(scene, name) as url:
        report = await scene.run(ORIGINS[1], proxy=url, timeout_seconds=timeout_of(name))
    try:
        report.raise_for_failures()
    except Exception as error:  # noqa: BLE001 - whatever it is, it shows nothing
        check(["".join(traceback.format_exception(error)), repr(error)])
    else:
        assert name == "well"


async def test_the_processes_output_shows_no_password(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    with failing(scene, "http wrong user") as url:
        await scene.run(ORIGINS[1], proxy=url, processes=2, retry=NO_RETRIES)
    check(list(capfd.readouterr()))
