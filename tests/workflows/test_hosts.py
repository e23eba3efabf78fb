"""No request to a host that the configuration does not name; no secret shown."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.workflows.conftest import KEY, SIDECAR, Collection

from crypto_lakehouse.sinks.jsonl import JsonLinesSink
from crypto_lakehouse.testing import ArchiveServer, faults


async def test_a_redirect_within_the_source_is_followed(collection: Collection) -> None:
    moved = "data/spot/daily/klines/BTCUSDT/1h/moved"
    collection.server.put(moved, b"")
    collection.server.inject(KEY, faults.Redirect(f"/{KEY}"))
    report = await collection.run()
    assert report.totals["verified"] == 1


async def test_a_redirect_to_another_host_is_refused(collection: Collection) -> None:
    with ArchiveServer() as other:
        collection.server.inject(KEY, faults.Redirect(f"{other.url}/{KEY}"))
        report = await collection.run()
        assert report.totals["failed"] == 1
        assert "redirect_hosts" in report.problems[0].reason
        assert other.requests == []
    assert collection.sleeps.waits == [], "it is not tried again"


async def test_a_redirect_to_a_named_host_is_followed(collection: Collection) -> None:
    with ArchiveServer() as other:
        collection.server.inject(KEY, faults.Redirect(f"{other.url}/{KEY}"))
        host = other.url.removeprefix("http://")
        report = await collection.run(redirect_hosts=[host])
        assert report.totals["verified"] == 1
        assert [request.path for request in other.requests] == [KEY]


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "", "http://[", "//10.0.0.1/x", "gopher:x"],
)
async def test_a_redirect_to_anywhere_else_is_refused(
    collection: Collection, location: str
) -> None:
    collection.server.inject(KEY, *faults.Redirect(location) * 10)
    report = await collection.run()
    assert report.totals["failed"] == 1


async def test_a_redirect_loop_ends(collection: Collection) -> None:
    collection.server.inject(KEY, *faults.Redirect(f"/{KEY}") * 10)
    report = await collection.run()
    assert report.totals["failed"] == 1
    assert "redirects" in report.problems[0].reason
    assert len(collection.requested()) == 6


async def test_user_information_is_sent_to_the_source_and_shown_nowhere(
    collection: Collection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="crypto_lakehouse")
    secret = "s3cr3t-pass"
    collection.config["source_url"] = collection.server.url.replace("//", f"//me:{secret}@")
    collection.server.inject(SIDECAR, faults.Status(503), faults.Status(418))
    events = tmp_path / "events.jsonl"
    report = await collection.run(sinks=[JsonLinesSink(events)])
    assert report.totals["failed"] == 1
    assert all("Authorization" in item.headers for item in collection.server.requests)
    shown = [caplog.text, repr(report), str(report.to_mapping()), events.read_text()]
    shown += [str(record.__dict__) for record in caplog.records]
    ledger = (collection.root / ".lakehouse" / "ledger.sqlite").read_bytes()
    assert secret not in "".join(shown)
    assert secret.encode() not in ledger


async def test_no_cookie_is_kept_and_nothing_is_decoded(collection: Collection) -> None:
    extra = faults.Headers({"Set-Cookie": "a=b", "Content-Encoding": "gzip"})
    collection.server.inject(KEY, extra)
    report = await collection.run()
    assert report.totals["verified"] == 1
    sidecar = collection.server.requests[-1]
    assert sidecar.path == SIDECAR
    assert "Cookie" not in sidecar.headers
    assert sidecar.headers["Accept-Encoding"] == "identity"


async def test_a_base_path_and_a_symbol_of_any_script_reach_the_source(
    collection: Collection,
) -> None:
    collection.config["source_url"] = f"{collection.server.url}/data.binance.vision/"
    report = await collection.run(symbols=["币安人生USDT"], default_date="2025-10-20")
    assert report.totals["verified"] == 1
    key = "data/spot/daily/klines/币安人生USDT/1h/币安人生USDT-1h-2025-10-20.zip"
    assert collection.path(key).is_file()
