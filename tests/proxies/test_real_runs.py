"""Collections through tinyproxy and microsocks, which resolve names that this process cannot."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.faults.secret_faults import PASSWORD, check
from tests.proxies.real import RealProxy, microsocks, needs, tinyproxy
from tests.proxies.scene import HTTP, HTTPS, Scene
from tests.workflows.conftest import BIG_KEY, big_zip

Open = Callable[..., AbstractContextManager[RealProxy]]

BOTH = [
    pytest.param(tinyproxy, marks=needs("tinyproxy"), id="tinyproxy"),
    pytest.param(microsocks, marks=needs("microsocks"), id="microsocks"),
]

#: The names as /etc/hosts has them, which knows no ports.
NAMES = {HTTP: "127.0.0.1", HTTPS: "127.0.0.1"}


def origin_of(scene: Scene, scheme: str) -> str:
    """The source by its made-up name, at the port where it is."""
    name = {"http": HTTP, "https": HTTPS}[scheme]
    return f"{scheme}://{name}:{scene.names[name][1]}"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", ["", f"me:{PASSWORD}"])
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("opened", BOTH)
async def test_a_run_goes_through_a_real_proxy(
    scene: Scene, tmp_path: Path, opened: Open, processes: int, user: str, scheme: str
) -> None:
    origin = origin_of(scene, scheme)
    keys: dict[str, Any] = {"discovery": "listing", "listing_url": origin, "processes": processes}
    with opened(tmp_path, NAMES, user) as proxy:
        report = await scene.run(origin, proxy=proxy.url, **keys)
        assert proxy.said({"http": HTTP, "https": HTTPS}[scheme])
    assert report.totals["verified"] == 1
    assert report.warnings == ()
    assert scene.looked_up() == set()
    assert not {"Authorization", "Proxy-Authorization"} & scene.headers()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("opened", BOTH)
async def test_a_large_body_comes_through_a_real_proxy(
    scene: Scene, tmp_path: Path, opened: Open, scheme: str
) -> None:
    data = big_zip()
    scene.collection.publish(BIG_KEY, data)
    with opened(tmp_path, NAMES) as proxy:
        report = await scene.run(
            origin_of(scene, scheme), proxy=proxy.url, data_types=["trades"], intervals=None
        )
    assert report.totals["verified"] == 1
    assert scene.collection.path(BIG_KEY).read_bytes() == data


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("opened", BOTH)
async def test_a_real_proxy_refuses_a_wrong_password(
    scene: Scene, tmp_path: Path, opened: Open, scheme: str
) -> None:
    with opened(tmp_path, NAMES, "me:another") as proxy:
        url = proxy.url.replace("another", PASSWORD)
        report = await scene.run(origin_of(scene, scheme), proxy=url)
    assert report.totals["failed"] == 1
    assert scene.collection.server.requests == []
    check([str(report.to_mapping())])


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("opened", BOTH)
async def test_a_place_that_a_real_proxy_cannot_reach_fails_the_archive(
    scene: Scene, tmp_path: Path, opened: Open, scheme: str
) -> None:
    with opened(tmp_path, {HTTP: "127.0.0.2", HTTPS: "127.0.0.2"}) as proxy:
        report = await scene.run(origin_of(scene, scheme), proxy=proxy.url)
    assert report.totals["failed"] == 1
    assert scene.looked_up() == set()
