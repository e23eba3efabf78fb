"""`crypto-lakehouse config`: what a configuration may hold."""

from __future__ import annotations

import json

from tests.cli.conftest import Shell

from crypto_lakehouse.core.config.schema import config_schema


def test_the_schema_is_printed(shell: Shell) -> None:
    code, out, err = shell("config", "schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == config_schema()
