"""Paths as users type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.stores.state import StateFolder
from crypto_lakehouse.stores.user_path import absolute_path
from crypto_lakehouse.tables.lake.places import lake_folder
from crypto_lakehouse.workflows.lake_config import LakeConfig


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("out", "out"),
        ("./out/", "out"),
        ("a//b", "a/b"),
        ("~", "home"),
        ("~/out", "home/out"),
        ("./~", "~"),
        ("a/~", "a/~"),
        ("./~/out", "~/out"),
        ("a/../out", "out"),
        ("linked/../out", "elsewhere/out"),
        ("linked", "linked"),
    ],
)
def test_a_path_is_read_as_it_is_typed(here: Path, typed: str, meant: str) -> None:
    (here / "a").mkdir()
    (here / "elsewhere" / "inner").mkdir(parents=True)
    (here / "linked").symlink_to(here / "elsewhere" / "inner")
    path = here / meant
    assert absolute_path(typed) == path
    assert LocalStore(typed).root == StateFolder(typed).root == path
    path.mkdir(parents=True, exist_ok=True)
    assert output_of(typed).state.root == path
    assert lake_folder(typed) == path
    assert LakeConfig({"output_directory": "o", "lake": typed}, environ={}).lake_folder == path
    config = LakeConfig({"output_directory": typed}, environ={})
    assert config.lake_folder == path / ".lakehouse" / "lake"
