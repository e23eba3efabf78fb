"""A directory as a store: whole files or none."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
from tests.stores.conftest import FOLDER, KEY, NAME, sha256, tree

from crypto_lakehouse.core.config.own_folder import OWN_FOLDER
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import Latch


def test_it_is_a_store(store: LocalStore) -> None:
    def takes_a_store(_store: Store) -> None: ...

    takes_a_store(store)


def test_the_root_is_absolute_and_may_begin_with_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert LocalStore("~/archive").root == tmp_path / "archive"
    assert LocalStore("archive").root == tmp_path / "archive"
    assert LocalStore("archive").path(KEY) == f"{tmp_path}/archive/{KEY}"
    assert LocalStore("archive").own_path("a", "b") == tmp_path / "archive" / OWN_FOLDER / "a/b"
    assert not (tmp_path / "archive").exists()


# Small bodies --------------------------------------------------------------------------------


async def test_a_small_body_lies_under_its_key(store: LocalStore, root: Path) -> None:
    stat = await store.put(KEY, b"content")
    file = root / KEY
    assert file.read_bytes() == b"content"
    assert stat == FileStat(7, file.stat().st_mtime_ns)
    assert tree(root) == {KEY}


@pytest.mark.parametrize("data", [b"", b"new and longer content"])
async def test_a_small_body_replaces_the_file_before_it(
    store: LocalStore, root: Path, data: bytes
) -> None:
    await store.put(KEY, b"old content")
    assert (await store.put(KEY, data)).size_bytes == len(data)
    assert (root / KEY).read_bytes() == data
    assert tree(root) == {KEY}


async def test_a_leftover_part_does_not_show_through(store: LocalStore, root: Path) -> None:
    part = root / (KEY + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    await store.put(KEY, b"short")
    assert (root / KEY).read_bytes() == b"short"
    assert tree(root) == {KEY}


async def test_a_body_is_not_visible_before_it_is_whole(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system takes a byte at a time; at each the final name shows the old file."""
    await store.put(KEY, b"old")
    write = os.write
    seen: set[bytes] = set()

    def write_one(descriptor: int, data: bytes | memoryview) -> int:
        seen.add((root / KEY).read_bytes())
        return write(descriptor, data[:1])

    monkeypatch.setattr(os, "write", write_one)
    stat = await store.put(KEY, b"new content")
    assert stat.size_bytes == 11
    assert seen == {b"old"}
    assert (root / KEY).read_bytes() == b"new content"


async def test_a_rename_that_fails_leaves_the_old_file_and_no_part(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(KEY, b"old")

    def refuse(_source: str, _target: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StoreError, match="Permission denied") as refused:
        await store.put(KEY, b"new")
    assert not refused.value.stops_run
    assert tree(root) == {KEY}
    assert (root / KEY).read_bytes() == b"old"


async def test_a_directory_in_place_of_the_file_is_refused_and_left(
    store: LocalStore, root: Path
) -> None:
    (root / KEY / "mine").mkdir(parents=True)
    with pytest.raises(StoreError, match="directory") as refused:
        await store.put(KEY, b"content")
    assert not refused.value.stops_run
    assert (root / KEY / "mine").is_dir()
    assert tree(root) == set()


async def test_a_directory_in_place_of_the_part_is_refused(store: LocalStore, root: Path) -> None:
    (root / (KEY + ".part")).mkdir(parents=True)
    with pytest.raises(StoreError):
        await store.put(KEY, b"content")
    with pytest.raises(StoreError):
        await store.open_part(KEY, resume=False)
    with pytest.raises(StoreError):
        await store.open_part(KEY, resume=True)
    assert not (root / KEY).exists()


async def test_a_file_in_place_of_a_folder_is_refused(store: LocalStore, root: Path) -> None:
    root.mkdir()
    (root / "data").write_bytes(b"mine")
    with pytest.raises(StoreError) as refused:
        await store.put(KEY, b"content")
    assert not refused.value.stops_run
    with pytest.raises(StoreError):
        await store.scan(FOLDER)
    with pytest.raises(StoreError):
        await store.sha256(KEY)
    with pytest.raises(StoreError):
        await store.read(KEY, 10)
    with pytest.raises(StoreError):
        await store.open_part(KEY, resume=True)
    assert (root / "data").read_bytes() == b"mine"


async def test_a_name_that_is_too_long_is_refused(store: LocalStore, root: Path) -> None:
    key = FOLDER + "x" * 252 + ".zip"
    for refused in (store.put(key, b""), store.open_part(key, resume=False)):
        with pytest.raises(StoreError, match="too long") as caught:
            await refused
        assert not caught.value.stops_run
    assert tree(root) == set()


# Refusals that concern every file ------------------------------------------------------------


def refusing(number: int) -> Callable[..., int]:
    def refuse(*_arguments: Any, **_options: Any) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    ("number", "stops_run"),
    [
        (errno.ENOSPC, True),
        (errno.EDQUOT, True),
        (errno.EROFS, True),
        (errno.EIO, True),
        (errno.EACCES, False),
        (errno.ENAMETOOLONG, False),
        (errno.EMFILE, False),
    ],
)
async def test_a_refusal_says_whether_every_file_would_meet_it(
    store: LocalStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    stops_run: bool,
) -> None:
    await store.put(KEY, b"old")
    monkeypatch.setattr(os, "write", refusing(number))
    with pytest.raises(StoreError) as refused:
        await store.put(KEY, b"new")
    assert refused.value.stops_run is stops_run
    assert os.strerror(number) in refused.value.reason
    assert isinstance(refused.value.__cause__, OSError)
    assert tree(root) == {KEY}
    assert (root / KEY).read_bytes() == b"old"


async def test_a_file_system_that_is_read_only_stops_the_run(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", refusing(errno.EROFS))
    for refused in (store.put(KEY, b""), store.open_part(KEY, resume=False)):
        with pytest.raises(StoreError, match="ead-only") as caught:
            await refused
        assert caught.value.stops_run


async def test_a_folder_that_cannot_be_made_is_refused(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "makedirs", refusing(errno.ENOSPC))
    with pytest.raises(StoreError, match="free some space") as refused:
        await store.put(KEY, b"content")
    assert refused.value.stops_run


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parts can be made, but the system says that there is no space for a byte in them."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    opens = os.open

    def open_full(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        descriptor = opens(path, flags, mode, **options)
        if not str(path).endswith(".part"):
            return descriptor
        os.close(descriptor)
        return opens(full, os.O_WRONLY)

    monkeypatch.setattr(os, "open", open_full)
    return full


@pytest.mark.usefixtures("full_disk")
async def test_a_full_disk_stops_the_run_and_leaves_no_part_of_a_small_body(
    store: LocalStore, root: Path
) -> None:
    with pytest.raises(StoreError, match="free some space and run again") as refused:
        await store.put(KEY, b"content")
    assert refused.value.stops_run
    assert refused.value.path == str(root / KEY)
    assert tree(root) == set()


@pytest.mark.usefixtures("full_disk")
async def test_a_full_disk_stops_the_run_and_keeps_the_part_of_a_large_body(
    store: LocalStore, root: Path
) -> None:
    part = await store.open_part(KEY, resume=False)
    with pytest.raises(StoreError, match="free some space and run again") as refused:
        await part.append(b"content")
    await part.close()
    assert refused.value.stops_run
    assert part.size_bytes == 0, "what was not written does not count"
    assert part.sha256() == sha256(b"")
    assert tree(root) == {KEY + ".part"}


# Reading -------------------------------------------------------------------------------------


async def test_a_scan_names_regular_files_only(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    stat = await store.put(KEY, b"content")
    folder = root / FOLDER
    (folder / "folder.zip").mkdir()
    (folder / "link.zip").symlink_to(root / KEY)
    (folder / "dangling.zip").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.zip")
    assert await store.scan(FOLDER) == {NAME: stat}
    assert await store.scan(FOLDER.rstrip("/")) == {NAME: stat}


async def test_a_scan_of_what_is_not_there_is_empty(store: LocalStore, root: Path) -> None:
    assert await store.scan(FOLDER) == {}
    assert not root.exists()


async def test_a_file_that_vanishes_during_a_scan_hides_no_other(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = await store.put(KEY, b"content")
    await store.put(FOLDER + "other.zip", b"content")
    scandir = os.scandir

    class Listed(list[os.DirEntry[str]]):
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_error: object) -> None:
            return None

    def list_and_lose(path: str) -> Listed:
        with scandir(path) as entries:
            listed = Listed(entries)
        (root / FOLDER / "other.zip").unlink()
        return listed

    monkeypatch.setattr(os, "scandir", list_and_lose)
    assert await store.scan(FOLDER) == {NAME: stat}


async def test_a_folder_that_may_not_be_read_is_a_refusal(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "scandir", refusing(errno.EACCES))
    with pytest.raises(StoreError, match="Permission denied"):
        await store.scan(FOLDER)


@pytest.mark.parametrize("times", [1, 500_000], ids=["one step", "several steps"])
async def test_a_stored_file_is_hashed_and_read(store: LocalStore, times: int) -> None:
    content = b"content" * times
    await store.put(KEY, content)
    assert await store.sha256(KEY) == sha256(content)
    assert await store.read(KEY, 1 << 24) == content
    assert await store.read(KEY, 3) == b"con"
    with store.reader(KEY) as file:
        assert file.read() == content


async def test_what_is_not_stored_has_no_digest(store: LocalStore) -> None:
    assert await store.sha256(KEY) is None
    assert await store.read(KEY, 10) is None
    with pytest.raises(StoreError, match="No such file"):
        store.reader(KEY)


async def test_a_bad_sector_is_a_refusal_of_that_file_only(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(KEY, b"body")

    whole = os.open
    # Address 0 of a process cannot be read; Linux reports that as it reports a bad sector.
    monkeypatch.setattr(os, "open", lambda _path, flags, *_mode: whole("/proc/self/mem", flags))
    with pytest.raises(StoreError, match="Input/output error") as refused:
        await store.sha256(KEY)
    assert not refused.value.stops_run


async def test_a_directory_in_place_of_a_file_cannot_be_read(store: LocalStore, root: Path) -> None:
    (root / KEY).mkdir(parents=True)
    with pytest.raises(StoreError, match="directory"):
        await store.sha256(KEY)
    with pytest.raises(StoreError, match="directory"):
        await store.read(KEY, 10)
    with pytest.raises(StoreError, match="directory"):
        store.reader(KEY)


@pytest.mark.parametrize("hashes", ["a file", "a part"])
async def test_hashing_ends_with_its_task(
    store: LocalStore, root: Path, hashes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several pieces the first is held up until the task is cancelled."""
    path = root / (KEY if hashes == "a file" else KEY + ".part")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one " * (1 << 20))
    began, go_on, seen = Latch(), Latch(), []

    def update(data: bytes | bytearray) -> None:
        seen.append(bytes(data))
        began.open()
        assert go_on.wait(200)

    class Digest:
        def __init__(self) -> None:
            self.update = update

    async def hash_it() -> None:
        if hashes == "a file":
            monkeypatch.setattr("hashlib.sha256", Digest)
            await store.sha256(KEY)
        else:
            await store.open_part(KEY, resume=True, watch=update)

    with anyio.fail_after(200):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hash_it)
            await began.passed()
            tasks.cancel_scope.cancel()
            go_on.open()
    assert b"".join(seen) == b"one " * (len(seen) << 18)
    assert len(seen) == 1
