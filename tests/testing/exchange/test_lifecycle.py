"""Starting and stopping: in a loop, in a thread, as a fixture."""

from __future__ import annotations

import asyncio
import json
import threading
from urllib.request import urlopen

import aiohttp
import pytest

from crypto_lakehouse.testing import ExchangeServer
from crypto_lakehouse.testing.pytest_plugin import exchange_server

__all__ = ["exchange_server"]  # the plugin is loaded by its entry point only where installed


async def test_it_serves_in_the_running_loop_and_leaves_nothing() -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    server = ExchangeServer()
    async with server, aiohttp.ClientSession() as session:
        urls = {server.url(market) for market in ("spot", "futures_um", "futures_cm")}
        assert len(urls) == 3
        async with session.get(server.url("spot") + "/api/v3/ping") as answer:
            assert await answer.json() == {}
        with pytest.raises(RuntimeError, match="serves already"):
            server.__enter__()
    assert asyncio.all_tasks() == tasks
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError, match="enter it with `with` first"):
        server.url("spot")
    async with server:
        assert server.url("spot")


def test_it_serves_in_a_thread(exchange_server: ExchangeServer) -> None:
    with urlopen(exchange_server.url("futures_cm") + "/dapi/v1/time") as answer:  # noqa: S310
        assert json.load(answer) == {"serverTime": exchange_server.clock.now_ms}
    [record] = exchange_server.requests
    assert (record.path, record.status) == ("futures_cm/dapi/v1/time", 200)
    assert exchange_server.count("futures_cm/*") == 1
    assert exchange_server.count("*", status=418) == 0


def test_a_thread_is_joined_and_a_bad_address_is_an_error() -> None:
    threads = threading.active_count()
    with ExchangeServer():
        assert threading.active_count() == threads + 1
    assert threading.active_count() == threads
    with pytest.raises(OSError, match="assign requested address"), ExchangeServer(host="192.0.2.1"):
        pass
    assert threading.active_count() == threads


def test_markets_and_statuses_are_checked() -> None:
    server = ExchangeServer()
    for market in ("options", "um"):
        with pytest.raises(ValueError, match="give spot, futures_um, futures_cm"):
            server.url(market)
    with pytest.raises(ValueError, match="with 403 or 451, not 500"):
        server.refuse("spot", 500)
    with pytest.raises(ValueError, match="weight of -1"):
        server.spend("spot", -1)
