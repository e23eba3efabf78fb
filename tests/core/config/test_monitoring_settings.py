"""Where metrics are served and written: every way to say it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_lakehouse.core.config.monitoring_settings import serve_settings, textfile_fault
from crypto_lakehouse.core.config.sources import parse_text_value
from crypto_lakehouse.core.config.values import Serve
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError

LOOPBACK = "127.0.0.1"


@pytest.mark.parametrize(
    ("given", "address", "port"),
    [
        (9108, LOOPBACK, 9108),
        ("0", LOOPBACK, 0),
        ("0.0.0.0:9108", "0.0.0.0", 9108),
        (" [::1]:9108 ", "::1", 9108),
        ("node-1.example.org:80", "node-1.example.org", 80),
        ({"port": "9108"}, LOOPBACK, 9108),
        ({"address": "::1", "port": 65_535}, "::1", 65_535),
    ],
)
def test_an_address_and_a_port_are_read(given: object, address: str, port: int) -> None:
    assert serve_settings(given) == {"address": address, "port": port}
    if isinstance(given, str):
        assert parse_text_value(given, Serve) == given.strip()


def test_an_option_may_be_json() -> None:
    assert parse_text_value('{"port": 9108}', Serve) == {"port": 9108}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (65_536, "must be 0 to 65535, not `65536`"),
        (-1, "must be 0 to 65535"),
        ("nine", "must be 0 to 65535, not `nine`"),
        ("999999", "must be 0 to 65535"),
        ("²", "must be 0 to 65535"),
        (True, "must be a mapping"),
        (9108.0, "must be a mapping"),
        ([9108], "must be a mapping"),
        ({"port": True}, "must be 0 to 65535"),
        ({"address": LOOPBACK}, "`port` is missing"),
        ({"port": 1, "host": "a"}, "unknown key `host`"),
        ({"port": 1, "address": 7}, "`address` must be text"),
        (":9108", "neither an IP address nor a host name"),
        ("::1:9108", r"in brackets, as \[::1\]:9108"),
        ("http://localhost:9108", "neither|brackets"),
        ({"port": 1, "address": "a b"}, "neither an IP address nor a host name"),
        ({"port": 1, "address": "a" * 254}, "neither an IP address nor a host name"),
    ],
)
def test_anything_else_is_refused(given: object, reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        serve_settings(given)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (None, ""),
        ("metrics.prom", ""),
        ("s3://bucket/metrics.prom", "must be a local file"),
        ("metrics.txt", "must end with `.prom`: node_exporter reads no other files"),
    ],
)
def test_a_file_is_local_and_has_the_suffix_that_is_read(path: str | None, fault: str) -> None:
    assert fault in textfile_fault(path)
    assert bool(fault) == bool(textfile_fault(path))


def test_every_fault_is_said_at_once() -> None:
    values: dict[str, Any] = {
        "output_directory": "data", "only": "failed", "serve": "x:y:1", "metrics_textfile": "m",
        "metrics_by_symbol": "perhaps", "otlp_endpoint": "https://me:s3cret@receiver.example",
    }  # fmt: skip
    with pytest.raises(ConfigurationError) as raised:
        WorkflowConfig(values, environ={})
    assert [problem.path for problem in raised.value.problems] == [
        "$.serve", "$.metrics_by_symbol", "$.metrics_textfile", "$.otlp_endpoint"
    ]  # fmt: skip
    assert "they belong into OTEL_EXPORTER_OTLP_HEADERS" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_configuration_can_be_read_again() -> None:
    config = WorkflowConfig(output_directory="data", only="failed", serve=9108, environ={})
    assert config.to_mapping()["serve"] == {"address": LOOPBACK, "port": 9108}
    assert config.replace(max_retries=1).serve == config.serve
