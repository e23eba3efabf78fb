"""The manual page has all commands, and groff accepts it without a warning."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from tests.documentation.collector import ROOT, commands

PAGE = ROOT / "docs" / "reference" / "crypto-lakehouse.1"


def test_it_has_every_command() -> None:
    text = PAGE.read_text(encoding="utf-8").replace(r"\-", "-")
    for name in commands():
        assert f"\n.SS {name} " in text or not name


def test_groff_accepts_it_and_shows_what_help_shows() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff IS NOT INSTALLED: the manual page is NOT read")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Kutf8", "-Tutf8", "-P-c", PAGE],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    shown = done.stdout.replace("\b", "")
    assert "11 another run holds the lock, or has taken it over" in shown
