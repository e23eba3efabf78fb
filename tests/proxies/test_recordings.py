"""A recording goes through the proxy, its streams as well as its requests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme
from tests.faults.tls_source import speaking
from tests.proxies.forward_proxy import ForwardProxy
from tests.proxies.scene import HTTPS
from tests.proxies.socks_server import SocksServer
from tests.proxies.tls_front import TlsFront

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.testing import ExchangeServer
from crypto_lakehouse.workflows import RecordingWorkflow


@pytest.mark.parametrize("kind", ["http", "socks5h"])
async def test_a_recording_goes_through_its_proxy(
    exchange_server: ExchangeServer, tmp_path: Path, kind: str
) -> None:
    authority, bundle = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    host, _, port = exchange_server.url("spot").removeprefix("http://").rpartition(":")
    with TlsFront(behind=(host, int(port)), tls=speaking(authority, HTTPS)) as front:
        names = {HTTPS: ("127.0.0.1", front.port)}
        with (ForwardProxy if kind == "http" else SocksServer)(names=names) as proxy:
            config = WorkflowConfig(
                output_directory=str(tmp_path / "out"), markets=["spot"], symbols=["BTCUSDT"],
                only="failed", ca_bundle=str(bundle), proxy=f"{kind}://127.0.0.1:{proxy.port}",
                fill={"urls": {"spot": f"https://{HTTPS}"}},
                record={"urls": {"spot": f"wss://{HTTPS}"}, "streams": ["aggTrade"]},
                environ={},
            )  # fmt: skip
            workflow = RecordingWorkflow(config)
            running = asyncio.create_task(workflow.run())
            await exchange_server.connected()
            while not workflow.report().messages.get("spot aggTrade"):
                exchange_server.clock.advance(10)
                await exchange_server.settled()
            workflow.stop()
            report = (await running).report
    assert report.hole_count == 0
    assert set(proxy.hosts) == {HTTPS}
    assert [each for each in report.warnings if each.startswith("proxy: ")]
