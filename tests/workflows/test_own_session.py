"""An application's own aiohttp session: its settings hold, and none of them changes bytes."""

from __future__ import annotations

import re
import socket
from typing import Any
from unittest.mock import Mock
from urllib.request import urlopen

import aiohttp
import pytest
from aioresponses import CallbackResult, aioresponses
from tests.workflows.conftest import KEY, SIDECAR, Collection
from yarl import URL

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.testing import faults


class Mocked(aiohttp.ClientResponse):
    """What aioresponses makes, with what aiohttp 3.14 asks for (docs/embedding.md)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"stream_writer": Mock(output_size=0), **kwargs})


async def test_headers_authorization_and_cookies_of_the_session_are_sent(
    collection: Collection,
) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"ticket": "7"}, URL(collection.server.url))
    headers = {"X-Mine": "1", "Authorization": "Bearer of-the-application"}
    async with aiohttp.ClientSession(headers=headers, cookie_jar=jar) as session:
        report = await collection.run(session=session)
    assert report.totals["verified"] == 1
    for request in collection.server.requests:
        assert request.headers["X-Mine"] == "1"
        assert request.headers["Authorization"] == "Bearer of-the-application"
        assert request.headers["Cookie"] == "ticket=7"


async def test_tracing_and_middlewares_of_the_session_see_every_request(
    collection: Collection,
) -> None:
    traced: list[str] = []
    passed: list[str] = []

    async def started(_session: object, _context: object, seen: Any) -> None:
        traced.append(seen.url.path)

    async def count(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
        passed.append(request.url.path)
        response: aiohttp.ClientResponse = await handler(request)
        return response

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(started)
    async with aiohttp.ClientSession(trace_configs=[tracing], middlewares=[count]) as session:
        await collection.run(session=session)
    assert traced == passed == [f"/{KEY}", f"/{SIDECAR}"]


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_decompress": True},
        {"headers": {"Accept-Encoding": "gzip, br"}},
        {"raise_for_status": True},
        {"timeout": aiohttp.ClientTimeout(total=1e-9)},
        {"read_bufsize": 1},
        {"base_url": "http://elsewhere.example/"},
    ],
    ids=str,
)
async def test_settings_that_would_change_bytes_need_not_be_switched_off(
    collection: Collection, settings: dict[str, Any]
) -> None:
    collection.server.inject(KEY, faults.Status(503), faults.Redirect(f"/{KEY}"))
    async with aiohttp.ClientSession(**settings) as session:
        report = await collection.run(session=session)
    assert report.totals["verified"] == 1
    assert {request.headers["Accept-Encoding"] for request in collection.server.requests} == {
        "identity"
    }


async def test_a_body_that_is_compressed_all_the_same_is_not_decoded(
    collection: Collection,
) -> None:
    collection.server.inject(KEY, faults.Gzip(), endless=True)
    async with aiohttp.ClientSession() as session:
        report = await collection.run(session=session)
    assert report.totals["corrupt"] == 1
    assert "Content-Encoding: gzip" in report.problems[0].reason


async def test_a_closed_session_is_refused_before_anything_runs(collection: Collection) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(ConfigurationError, match="the session is closed"):
        await collection.run(session=session)
    assert not collection.server.requests


@pytest.mark.parametrize("given", [{"proxy": "http://127.0.0.1:9"}, {"ca_bundle": "ca.pem"}])
async def test_what_the_session_decides_cannot_be_configured_as_well(
    collection: Collection, given: dict[str, str]
) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="the session decides"):
            await collection.run(session=session, **given)


async def test_aioresponses_catches_every_request_of_a_session(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing, zip and sidecar; no socket is opened, and what is not mocked is refused."""
    source = collection.server
    bodies = {key: source.read(key) for key in (KEY, SIDECAR)}
    whole = socket.getaddrinfo

    def listed(url: URL, **_: Any) -> CallbackResult:
        with urlopen(f"{source.url}/?{url.raw_query_string}") as page:  # noqa: S310 - loopback
            return CallbackResult(body=page.read(), response_class=Mocked)

    def look_up(host: str, *rest: Any, **options: Any) -> Any:
        assert host != "source.example", "a request went past the mock"
        return whole(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with aiohttp.ClientSession() as session:
        with aioresponses() as mocked:
            mocked.get(re.compile(r"https://source\.example/\?.*"), callback=listed, repeat=True)
            for key, body in bodies.items():
                mocked.get(f"https://source.example/{key}", body=body, response_class=Mocked)
            report = await collection.run(
                session=session,
                source_url="https://source.example",
                listing_url="https://source.example",
                discovery="listing",
            )
    assert report.totals["verified"] == 1
