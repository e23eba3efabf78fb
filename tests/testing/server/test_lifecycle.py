"""Starting and stopping, in a loop, in a thread, from the command line, as a fixture."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import aiohttp
import pytest
from tests.testing.server.test_listing import listing
from tests.testing.server.test_objects import KEY, fetch

import crypto_lakehouse.testing as package
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.testing import ArchiveServer, __main__
from crypto_lakehouse.testing.made_up.generator import archive_bytes
from crypto_lakehouse.testing.objects import object_store
from crypto_lakehouse.testing.objects.lru import Lru
from crypto_lakehouse.testing.pytest_plugin import archive_server

__all__ = ["archive_server"]  # the plugin is loaded by its entry point only where installed


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of all archives that are made up, in order."""
    keys: list[str] = []

    def record(archive: Archive, row: MatrixRow) -> bytes:
        keys.append(archive.key)
        return archive_bytes(archive, row)

    monkeypatch.setattr(object_store, "archive_bytes", record)
    return keys


async def test_it_serves_in_the_running_loop_and_leaves_nothing() -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    async with (
        ArchiveServer() as server,
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/{KEY}") as response,
    ):
        assert response.status == 200
        assert await response.read() == server.read(KEY)
    assert asyncio.all_tasks() == tasks
    assert threading.active_count() == threads


async def test_a_client_that_stays_is_cut_off() -> None:
    tasks = asyncio.all_tasks()
    async with aiohttp.ClientSession() as session:
        async with ArchiveServer() as server:
            url = f"{server.url}/{KEY}"
            async with session.get(url) as response:
                await response.read()
        assert asyncio.all_tasks() == tasks
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


def test_it_serves_in_a_thread_and_leaves_nothing() -> None:
    threads = threading.active_count()
    with ArchiveServer() as server:
        assert threading.active_count() > threads
        assert fetch(server, KEY).status == 200
        port = int(server.url.rpartition(":")[2])
    assert threading.active_count() == threads
    with pytest.raises(OSError, match=r".+"):
        socket.create_connection(("127.0.0.1", port), timeout=200)


def test_it_can_serve_again_and_remembers() -> None:
    server = ArchiveServer()
    for _ in range(2):
        with server:
            fetch(server, KEY)
    assert server.count(KEY) == 2


async def test_it_has_a_url_only_while_it_serves() -> None:
    server = ArchiveServer()
    with pytest.raises(RuntimeError, match="does not serve"):
        _ = server.url
    async with server:
        assert server.url.startswith("http://127.0.0.1:")
        with pytest.raises(RuntimeError, match="serves already"):
            await server.__aenter__()
        with pytest.raises(RuntimeError, match="serves already"):
            server.__enter__()
    with pytest.raises(RuntimeError, match="does not serve"):
        _ = server.url


def test_the_port_can_be_chosen() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ArchiveServer(port=port) as server:
        assert server.url == f"http://127.0.0.1:{port}"


async def test_a_port_that_is_taken_is_an_error_in_both_ways() -> None:
    threads = threading.active_count()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = ArchiveServer(port=taken.getsockname()[1])
        with pytest.raises(OSError, match=r".+"):
            await server.__aenter__()
        with pytest.raises(OSError, match=r".+"):
            server.__enter__()
    assert threading.active_count() == threads


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_host_is_in_brackets() -> None:
    try:
        with ArchiveServer(host="::1") as server:
            assert server.url.startswith("http://[::1]:")
            assert fetch(server, KEY).status == 200
    except OSError:
        pytest.skip("no IPv6 loopback")


async def test_a_client_that_connects_as_the_server_closes_breaks_nothing() -> None:
    """A socket that asyncio has half accepted would be lost; see `serving`."""
    for _ in range(5):
        async with ArchiveServer() as server:
            host, port = server.url.removeprefix("http://").split(":")
            opening = asyncio.ensure_future(asyncio.open_connection(host, int(port)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with contextlib.suppress(OSError):
            _, writer = await opening
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_a_request_may_come_while_its_archive_is_being_made() -> None:
    async with ArchiveServer() as server, aiohttp.ClientSession() as session:

        async def get(key: str) -> bytes:
            async with session.get(f"{server.url}/{key}") as response:
                return await response.read()

        keys = [KEY, KEY, KEY + ".CHECKSUM", KEY]
        bodies = await asyncio.gather(*(get(key) for key in keys))
    assert bodies == [server.read(key) for key in keys]


def test_an_archive_is_made_once(made: list[str]) -> None:
    with ArchiveServer() as server:
        for key in (KEY + ".CHECKSUM", KEY, KEY + ".CHECKSUM", KEY):
            assert fetch(server, key).status == 200
        assert listing(server, prefix=KEY).keys == [KEY, KEY + ".CHECKSUM"]
    assert made == [KEY]


def test_an_archive_is_made_again_once_it_was_forgotten(made: list[str]) -> None:
    with ArchiveServer(body_cache_bytes=0) as server:
        first = fetch(server, KEY)
        assert fetch(server, KEY).body == first.body
        assert fetch(server, KEY + ".CHECKSUM").status == 200
        assert listing(server, prefix=KEY).contents[0]["ETag"] == first.headers["ETag"]
    assert set(made) == {KEY}


def test_a_page_makes_only_the_archives_on_it(made: list[str]) -> None:
    symbols = [f"SYM{number}USDT" for number in range(3000)]
    with ArchiveServer(symbols=symbols, today=date(2026, 9, 2)) as server:
        assert (
            len(listing(server, prefix="data/spot/daily/klines/", delimiter="/").prefixes) == 1000
        )
        assert made == []
        listing(server, prefix="data/spot/daily/klines/", max_keys=4)
    assert len(made) == 2


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache: Lru[bytes] = Lru(10, len)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    assert cache.get("a") == b"1234"
    cache.put("c", b"1234")
    assert [cache.get(key) for key in "abc"] == [b"1234", None, b"1234"]
    cache.put("a", b"1")
    cache.put("d", b"12345")
    assert [cache.get(key) for key in "acd"] == [b"1", b"1234", b"12345"]
    cache.put("e", b"too heavy for it")
    assert [cache.get(key) for key in "acde"] == [None] * 4


def test_the_fixture_serves_synchronous_tests(archive_server: ArchiveServer) -> None:
    assert fetch(archive_server, KEY).status == 200


async def test_the_fixture_serves_asynchronous_tests(
    archive_server: ArchiveServer,
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{archive_server.url}/{KEY}") as response,
    ):
        assert response.status == 200
    assert archive_server.count(KEY) == 1


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with this tree's packages."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_plugin_costs_a_test_run_nothing() -> None:
    """It is loaded by every pytest run of everyone who has the package installed."""
    code = (
        "import sys, crypto_lakehouse.testing.pytest_plugin\n"
        "server = 'crypto_lakehouse.testing.server.archive_server'\n"
        "loaded = {'aiohttp', 'attrs', server} & set(sys.modules)\n"
        "print(*loaded)"
    )
    done = run("-c", code)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_the_package_has_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(package, "faults")  # as if it had not been imported yet
    assert dir(package) == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__name__.endswith(name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.__getattr__("nothing")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command line, serving a folder."""
    (tmp_path / "file.txt").write_bytes(b"from disk")
    command = [sys.executable, "-m", "crypto_lakehouse.testing", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_the_command_line_serves_until_it_is_interrupted(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    address = url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=200)
    connection.request("GET", "/file.txt")
    assert connection.getresponse().read() == b"from disk"
    connection.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(200) == 0
    assert process.stdout.read() == ""


def test_the_command_line_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["--folder", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_the_command_line_ends_with_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "wait_for_ctrl_c", interrupt)
    assert __main__.main(["--port", "0"]) == 0
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")
