"""`crypto-lakehouse config`: what a configuration may hold."""

from __future__ import annotations

import json
import logging

import pytest
from tests.cli.conftest import Shell, collect

from crypto_lakehouse.core.config.schema import config_schema
from crypto_lakehouse.testing import ArchiveServer


def test_the_schema_is_printed(shell: Shell) -> None:
    code, out, err = shell("config", "schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == config_schema()


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command choose how it logs, and forget it afterwards."""
    monkeypatch.setattr(logging.getLogger("crypto_lakehouse"), "handlers", [])


PRODUCTION = ("--quiet", "--environment", "production")


@pytest.mark.usefixtures("logs")
def test_production_logs_json(shell: Shell, archive_server: ArchiveServer) -> None:
    _, _, err = shell(*collect(archive_server, *PRODUCTION))
    assert err
    assert all(json.loads(line)["event"] for line in err.splitlines())


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("form", ["none", "text"])
def test_a_format_that_is_named_holds_in_production(
    shell: Shell, archive_server: ArchiveServer, form: str
) -> None:
    _, _, err = shell(*collect(archive_server, *PRODUCTION, "--log-format", form))
    assert bool(err) == (form == "text")
    assert not err.startswith("{")
