"""`mcp` and `skill`, as a client and a person run them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Shell


def test_a_server_ends_when_its_client_closes_the_input(
    shell: Shell, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert shell("mcp", "-o", lake) == (0, "", "")


def test_what_cannot_be_served_is_said_before_a_client_is_read(shell: Shell) -> None:
    for arguments, wanted in (
        ((), "--output: required"),
        (("--lake", "s3://b/x"), "--output: required, and missing\n  --lake: `b` is not"),
        (("-o", ".", "--ledger", "mysql://host/lake"), "--ledger"),
        (("-o", ".", "--timeout", "0"), "--timeout"),
        (("-o", ".", "--most-rows", "0"), "--most-rows"),
        (("--config", "nothing.yaml"), "nothing.yaml"),
    ):
        code, out, err = shell("mcp", *arguments)
        assert (code, out) == (2, ""), (arguments, err)
        assert wanted in err
        assert "Traceback" not in err
