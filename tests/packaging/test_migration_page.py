"""The guide from the standalone script has every key of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crypto_lakehouse import WorkflowConfig
from crypto_lakehouse.core import ConfigurationWarning
from crypto_lakehouse.core.config.rules import OLDER_KEYS

_DOCS = Path(__file__).parents[2] / "docs"


def test_the_guide_has_every_old_key() -> None:
    guide = (_DOCS / "migration.md").read_text()
    older = (_DOCS / "archive-older-formats.md").read_text().partition("## Configuration keys")[2]
    outer = re.sub(r"\{[^}]*\}", "", "\n".join(re.findall(r"^\| (`.*?) \|", older, re.MULTILINE)))
    known = set(re.findall(r"`(\w+)`", outer)) | OLDER_KEYS.keys()
    assert len(known) > 20
    rows = "\n".join(re.findall(r"^\| (`.*?) \|", guide, re.MULTILINE))
    assert {key for key in known if f"`{key}`" not in rows} == set()


def test_every_key_that_is_ignored_is_accepted_with_a_warning() -> None:
    required = {"output_directory": "data", "symbols": "BTCUSDT", "default_date": "2025-07-15"}
    with pytest.warns(ConfigurationWarning) as warned:
        WorkflowConfig({**required, **dict.fromkeys(OLDER_KEYS, 1)})
    assert len(warned) == len(OLDER_KEYS)
