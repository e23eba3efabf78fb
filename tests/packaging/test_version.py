"""The version stands in one file; what is built and installed reads it there."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import crypto_lakehouse

_ROOT = Path(__file__).parents[2]


def test_the_installed_package_has_the_version_of_the_source() -> None:
    assert metadata.version("crypto-lakehouse") == crypto_lakehouse.__version__


def test_the_version_is_written_once() -> None:
    pyproject = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    assert "version" not in pyproject["project"]
    file = _ROOT / pyproject["tool"]["hatch"]["version"]["path"]
    assert f'"{crypto_lakehouse.__version__}"' in file.read_text()
