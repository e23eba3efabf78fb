"""Nothing outside of the output directory is written, whatever keys and links say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.conftest import FOLDER, KEY, part_of

from crypto_lakehouse.core.config.own_folder import OWN_FOLDER
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.directory import LocalStore

# Keys ----------------------------------------------------------------------------------------

OUTSIDE = [
    "../x.zip",
    "data/../../x.zip",
    "data/../x.zip",
    "data/..",
    "..",
    ".",
    "",
    "/",
    "/etc/passwd",
    "data//x.zip",
    "data/./x.zip",
    "data/",
    "data\\..\\x.zip",
    "data/x\0.zip",
]


@pytest.mark.parametrize("key", OUTSIDE)
async def test_a_key_that_would_leave_the_store_is_refused(
    store: LocalStore, root: Path, key: str
) -> None:
    for refused in (
        store.put(key, b"content"),
        store.open_part(key, resume=False),
        store.open_part(key, resume=True),
        store.sha256(key),
        store.read(key, 10),
        store.quarantine(key, b"content", {}),
    ):
        with pytest.raises(StoreError, match="must not leave"):
            await refused
    with pytest.raises(StoreError, match="must not leave"):
        store.reader(key)
    assert not root.exists()


@pytest.mark.parametrize("folder", ["../", "/", "", "data/../../", "data//spot/"])
async def test_a_folder_that_would_leave_the_store_is_not_scanned(
    store: LocalStore, folder: str
) -> None:
    with pytest.raises(StoreError, match="must not leave"):
        await store.scan(folder)


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_key_lies_below_the_root_or_is_refused(key: str) -> None:
    store = LocalStore("/srv/archive")
    try:
        path = store.path(key)
    except StoreError:
        return
    assert os.path.normpath(path) == path
    assert path.startswith("/srv/archive/")


# Symbolic links ------------------------------------------------------------------------------


@pytest.mark.parametrize("linked", ["data", "data/spot", FOLDER.rstrip("/")])
async def test_a_folder_that_leads_outside_is_refused(
    store: LocalStore, root: Path, tmp_path: Path, linked: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = root / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(outside, target_is_directory=True)
    for refused in (store.put(KEY, b"content"), store.open_part(KEY, resume=False)):
        with pytest.raises(StoreError, match="symbolic link") as caught:
            await refused
        assert not caught.value.stops_run
    assert list(outside.iterdir()) == [], "no folder is made outside either"


async def test_a_quarantine_that_leads_outside_is_refused(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root.mkdir()
    (root / OWN_FOLDER).symlink_to(outside, target_is_directory=True)
    with pytest.raises(StoreError, match="symbolic link"):
        await store.quarantine(KEY, b"content", {})
    part = await part_of(store, b"content")
    with pytest.raises(StoreError, match="symbolic link"):
        await part.quarantine({})
    assert list(outside.iterdir()) == []


async def test_a_folder_that_leads_elsewhere_inside_is_allowed(
    store: LocalStore, root: Path
) -> None:
    (root / "disk2").mkdir(parents=True)
    (root / "data").symlink_to("disk2", target_is_directory=True)
    await store.put(KEY, b"content")
    assert (root / "disk2" / KEY.removeprefix("data/")).read_bytes() == b"content"


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk", target_is_directory=True)
    store = LocalStore(tmp_path / "out")
    await store.put(KEY, b"content")
    store.make_durable([KEY])
    assert (tmp_path / "disk" / KEY).read_bytes() == b"content"


@pytest.fixture
def linked_part(root: Path, tmp_path: Path) -> Path:
    """A file outside, to which a link at `NAME.part` leads."""
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    part = root / (KEY + ".part")
    part.parent.mkdir(parents=True)
    part.symlink_to(target)
    return target


async def test_a_link_in_place_of_a_part_is_not_written_through(
    store: LocalStore, root: Path, linked_part: Path
) -> None:
    with pytest.raises(StoreError):
        await store.put(KEY, b"content")
    with pytest.raises(StoreError):
        await store.open_part(KEY, resume=False)
    assert linked_part.read_bytes() == b"precious"
    assert not (root / KEY).exists()


async def test_a_link_in_place_of_a_part_is_not_resumed(
    store: LocalStore, root: Path, linked_part: Path
) -> None:
    with pytest.raises(StoreError):
        await store.open_part(KEY, resume=True)
    assert linked_part.read_bytes() == b"precious"
    assert not (root / KEY).exists()


async def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    (root / FOLDER).mkdir(parents=True)
    (root / KEY).symlink_to(target)
    await store.put(KEY, b"content")
    assert target.read_bytes() == b"precious"
    assert not (root / KEY).is_symlink()
    assert (root / KEY).read_bytes() == b"content"
