"""What is deleted lies below the root, and no link leads there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.stores.conftest import FOLDER, KEY

from crypto_lakehouse.core.config.own_folder import OWN_FOLDER
from crypto_lakehouse.core.errors import ConfigurationError, StoreError
from crypto_lakehouse.stores import confined
from crypto_lakehouse.stores.confined import files_below, remove_empty, remove_file
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.state import StateFolder


@pytest.fixture(params=[True, False], ids=["descriptors", "paths"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with a file, and one outside; with descriptors of folders and without."""
    monkeypatch.setattr(confined, "_HAS_DESCRIPTORS", request.param)
    for name in ("root/a/b", "outside/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"content")
    return tmp_path


def test_a_file_is_removed_and_its_size_returned(place: Path) -> None:
    path = place / "root/a/b/file"
    assert remove_file(str(place / "root"), str(path)) == 7
    assert not path.exists()
    assert remove_file(str(place / "root"), str(path)) is None
    assert remove_file(str(place / "root"), str(place / "root/nowhere/file")) is None


def test_nothing_is_removed_in_a_file(place: Path) -> None:
    assert remove_file(str(place / "root"), str(place / "root/a/b/file/x")) is None


@pytest.mark.parametrize("follow", [False, True])
def test_nothing_is_removed_where_a_link_leads_out(place: Path, *, follow: bool) -> None:
    (place / "root/link").symlink_to(place / "outside")
    for name in ("root/link/file", "root/link/b/file"):
        with pytest.raises(StoreError, match="a symbolic link leads out of"):
            remove_file(str(place / "root"), str(place / name), follow=follow)
    assert (place / "outside/b/file").exists()


def test_a_link_that_stays_inside_is_followed_only_on_demand(place: Path) -> None:
    (place / "root/link").symlink_to("a")
    root, path = str(place / "root"), str(place / "root/link/b/file")
    with pytest.raises(StoreError, match="symbolic link"):
        remove_file(root, path)
    assert remove_file(root, path, follow=True) == 7


def test_a_link_in_the_place_of_a_file_is_removed_itself(place: Path) -> None:
    link = place / "root/a/file"
    link.symlink_to(place / "outside/b/file")
    remove_file(str(place / "root"), str(link))
    assert not link.is_symlink()
    assert (place / "outside/b/file").exists()


def test_the_root_may_be_a_link(place: Path) -> None:
    (place / "link").symlink_to("root")
    assert remove_file(str(place / "link"), str(place / "link/a/b/file")) == 7


def test_a_link_that_comes_in_between_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check has passed when the folder is replaced by a link."""
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"precious")
    opened = os.open

    def replacing(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == "a":
            (tmp_path / "root/a").rmdir()
            (tmp_path / "root/a").symlink_to(tmp_path / "outside")
        return opened(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", replacing)
    assert remove_file(str(tmp_path / "root"), str(tmp_path / "root/a/file")) is None
    assert (tmp_path / "outside/file").exists()


def test_empty_folders_are_removed_up_to_one(place: Path) -> None:
    root = place / "root"
    (root / "a/b/c/d").mkdir(parents=True)
    remove_empty(str(root), str(root / "a/b/c/d"), up_to=str(root))
    assert not (root / "a/b/c").exists()
    assert (root / "a/b/file").exists(), "a folder with a file stays"
    (root / "a/b/file").unlink()
    remove_empty(str(root), str(root / "a/b"), up_to=str(root / "a"))
    assert [*root.iterdir()] == [root / "a"]


def test_files_are_found_without_following_links(place: Path) -> None:
    root = place / "root"
    (root / "a/link").symlink_to(place / "outside")
    (root / "a/other").symlink_to(place / "outside/b/file")
    assert [entry.name for entry in files_below(str(root), str(root))] == ["file"]
    assert [*files_below(str(root), str(root / "nowhere"))] == []
    with pytest.raises(StoreError, match="symbolic link"):
        [*files_below(str(root), str(root / "a/link"))]


# The store ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unfinished", "replaced", "quarantine"])
def test_a_link_in_the_place_of_an_own_folder_is_refused_before_any_work(
    root: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_bytes(b"precious")
    (root / OWN_FOLDER).mkdir(parents=True)
    (root / OWN_FOLDER / name).symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="is a symbolic link"):
        LocalStore(root).prepare()
    assert (tmp_path / "outside/precious").exists()


def test_unfinished_own_files_are_removed(root: Path) -> None:
    store = LocalStore(root)
    store.prepare()
    folder = root / OWN_FOLDER / "unfinished"
    folder.mkdir(parents=True)
    (folder / "left").write_bytes(b"x")
    store.prepare()
    assert [*folder.iterdir()] == []


async def test_a_part_is_not_removed_where_a_link_leads_out(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    part = tmp_path / "outside" / (KEY + ".part").rpartition("/")[2]
    part.parent.mkdir()
    part.write_bytes(b"precious")
    (root / FOLDER).parent.mkdir(parents=True)
    (root / FOLDER.rstrip("/")).symlink_to(part.parent)
    with pytest.raises(StoreError, match="leads out"):
        store.remove_now(KEY + ".part")
    with pytest.raises(StoreError, match="leads out"):
        await store.remove(KEY + ".part")
    assert part.exists()


def test_an_own_folder_is_not_written_through_a_link_that_stays_inside(root: Path) -> None:
    (root / "data/spot").mkdir(parents=True)
    (root / OWN_FOLDER).mkdir()
    (root / OWN_FOLDER / "quarantine").symlink_to("../data")
    store = LocalStore(root)
    with pytest.raises(StoreError, match="a symbolic link is on its path"):
        store._make_folder(store.quarantine_path("data/x.zip"))
    assert [*(root / "data").iterdir()] == [root / "data/spot"]


@pytest.mark.parametrize("name", ["", "workers"])
def test_locks_are_not_made_where_a_link_leads(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    link = root / OWN_FOLDER / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigurationError, match="is a symbolic link"):
        StateFolder(root).make()
    assert [*(tmp_path / "outside").iterdir()] == []
