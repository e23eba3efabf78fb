"""The way that a run's requests take is known, and said, before the first of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import define, field
from tests.workflows.conftest import Collection
from yarl import URL

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, ExtraMissing
from crypto_lakehouse.core.events import Event, RunNoted
from crypto_lakehouse.http import proxies
from crypto_lakehouse.workflows.matrix_refresh import refresh_matrix
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone
from crypto_lakehouse.workflows.wiring.network import Network
from crypto_lakehouse.workflows.wiring.transport_stack import open_client

PROXY = "http://me:hunter2@proxy.example:3128"
NOTE = "via http://***@proxy.example:3128"


def config(**changes: Any) -> WorkflowConfig:
    """A configuration of a mirror."""
    values = {"output_directory": "out", "symbols": ["BTCUSDT"], "default_date": "2025-07-15",
              "source_url": "https://mirror.example/data"}  # fmt: skip
    return WorkflowConfig({**values, **changes}, environ={})


def test_the_environment_names_the_way_unless_it_is_told_otherwise() -> None:
    environ = {"HTTPS_PROXY": PROXY}
    network = Network.of(config(), environ)
    assert str(network.proxies.for_url(URL("https://mirror.example/x"))) == PROXY
    assert network.note == f"proxy: https://mirror.example {NOTE} (HTTPS_PROXY)"
    assert Network.of(config(proxy="none"), environ).note == ""
    assert Network.of(config(), {}).note == ""
    other = Network.of(config(proxy="http://other.example:1"), environ)
    assert other.note == "proxy: https://mirror.example via http://other.example:1 (`proxy`)"


def test_the_processes_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", PROXY)
    assert "(https_proxy)" in Network.of(config()).note


def test_every_host_that_is_named_is_said() -> None:
    named = config(
        second_source_url="http://127.0.0.1:1",
        listing_url="https://me:hunter2@s3.example/bucket",
        redirect_hosts=["cdn.example:8443", "[no host"],
        proxy=PROXY,
    )
    assert Network.of(named, {}).note == (
        f"proxy: https://mirror.example, https://s3.example, https://cdn.example:8443 {NOTE} "
        "(`proxy`); http://127.0.0.1:1 directly"
    )


@pytest.mark.parametrize(
    ("changes", "has_tls"),
    [
        ({"source_url": "http://127.0.0.1:1"}, False),
        ({"source_url": "http://a.example", "allow_http": True, "proxy": "http://h"}, False),
        ({"source_url": "http://a.example", "allow_http": True, "proxy": "https://h"}, True),
        ({"source_url": "http://127.0.0.1:1", "proxy": "https://h"}, False),
        ({"source_url": "http://127.0.0.1:1", "redirect_hosts": ["cdn.example"]}, True),
        ({"source_url": "http://127.0.0.1:1", "listing_url": "https://s3.example"}, True),
        ({}, True),
    ],
)
def test_certificates_are_looked_at_where_tls_is_spoken(
    changes: dict[str, Any], *, has_tls: bool
) -> None:
    assert (Network.of(config(**changes), {}).tls is not None) == has_tls
    for bad, environ in (({"ca_bundle": "/nowhere"}, {}), ({}, {"SSL_CERT_FILE": "/nowhere"})):
        if has_tls:
            with pytest.raises(ConfigurationError, match="cannot be read"):
                Network.of(config(**changes, **bad), environ)
        else:
            assert Network.of(config(**changes, **bad), environ).tls is None


async def test_a_client_trusts_the_bundle_and_nothing_else(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    wanted = config(ca_bundle=str(tmp_path / "ca.pem"))
    network = Network.of(wanted, {})
    assert network.tls is not None
    assert len(network.tls.get_ca_certs()) == 1


# Before the first request ----------------------------------------------------------------------

#: What cannot be used: keys, variables, and what is said.
UNUSABLE: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "a variable": ({}, {"HTTPS_PROXY": "ftp://me:hunter2@h"}, r"HTTPS_PROXY: `ftp://\*\*\*@h`"),
    "a bundle": ({"ca_bundle": "/nowhere"}, {}, r"\$\.ca_bundle: `/nowhere` cannot be read"),
    "a file": ({}, {"SSL_CERT_FILE": "/nowhere"}, "SSL_CERT_FILE: `/nowhere` cannot be read"),
    "a folder": ({}, {"SSL_CERT_DIR": "/nowhere"}, "SSL_CERT_DIR: `/nowhere` is not a directory"),
    "socks": ({"proxy": "socks5h://me:hunter2@h"}, {}, r"socks5h://\*\*\*@h:1080 needs aiohttp-"),
}


@pytest.fixture(params=UNUSABLE)
def unusable(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], str]:
    """Keys that cannot be used in this environment, and what is said."""
    keys, environ, message = UNUSABLE[request.param]
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(proxies, "find_spec", lambda _: None)
    return {"source_url": "https://mirror.invalid", **keys}, message


async def test_a_run_without_a_way_writes_nothing(
    collection: Collection, unusable: tuple[dict[str, Any], str]
) -> None:
    keys, message = unusable
    with pytest.raises((ConfigurationError, ExtraMissing), match=message) as refused:
        await collection.run(**keys)
    assert "hunter2" not in str(refused.value)
    assert not collection.root.exists()


async def test_a_plan_without_a_way_is_refused(unusable: tuple[dict[str, Any], str]) -> None:
    keys, message = unusable
    with pytest.raises((ConfigurationError, ExtraMissing), match=message):
        async with plan_alone(config(discovery="listing", **keys)):
            pytest.fail("there is no plan")
    async with plan_alone(config(discovery="calendar", **keys)) as (plan, _):
        assert plan.failures == (), "a plan that asks nothing needs no way"


async def test_a_matrix_without_a_way_is_refused(unusable: tuple[dict[str, Any], str]) -> None:
    keys, message = unusable
    with pytest.raises((ConfigurationError, ExtraMissing), match=message):
        await refresh_matrix(config(discovery="listing", **keys))


async def test_a_client_without_a_way_is_refused(unusable: tuple[dict[str, Any], str]) -> None:
    keys, message = unusable
    with pytest.raises((ConfigurationError, ExtraMissing), match=message):
        async with open_client(config(**keys), 1):
            pytest.fail("there is no client")


# What is said ----------------------------------------------------------------------------------


@define
class Notes:
    """A sink that keeps notes, and what came before each."""

    events: list[Event] = field(factory=list)
    name: str = "notes"
    required: bool = True

    @property
    def notes(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, RunNoted)]

    async def handle(self, events: Sequence[Event]) -> None:
        self.events += events

    async def flush(self) -> None:
        return None

    async def close(self) -> None:
        return None


async def test_a_run_tells_its_proxy_first_and_once(
    collection: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "crypto_lakehouse")
    notes = Notes()
    report = await collection.run(proxy=PROXY, redirect_hosts=["cdn.example"], sinks=[notes])
    assert isinstance(notes.events[0], RunNoted)
    assert notes.notes == [
        f"proxy: {collection.server.url} directly; https://cdn.example {NOTE} (`proxy`)"
    ]
    assert [record.levelname for record in caplog.records if NOTE in record.message] == ["INFO"]
    assert report.warnings == ()
    assert NOTE not in json.dumps(report.to_mapping())
    assert "hunter2" not in caplog.text


async def test_a_run_without_a_proxy_says_nothing(collection: Collection) -> None:
    notes = Notes()
    await collection.run(proxy=PROXY, sinks=[notes])
    assert notes.notes == [], "the source is this machine itself"
