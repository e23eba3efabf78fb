"""A directory as a store: whole files or none, and nothing outside of it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
from anyio import to_thread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.ports import FileStat, Part, Store
from crypto_lakehouse.stores import local
from crypto_lakehouse.stores.local import OWN_FOLDER, LocalStore

FOLDER = "data/spot/daily/trades/BTCUSDT/"
NAME = "BTCUSDT-trades-2025-07-15.zip"
KEY = FOLDER + NAME


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree(root: Path) -> set[str]:
    """Every file below a directory, as text."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


async def part_of(store: LocalStore, *buffers: bytes, resume: bool = False) -> Part:
    part = await store.open_part(KEY, resume=resume)
    for buffer in buffers:
        await part.append(buffer)
    return part


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
    await LocalStore(tmp_path / "out").put(KEY, b"content")
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


async def test_a_stored_file_is_hashed_and_read(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_STEP_BYTES", 3)
    await store.put(KEY, b"content")
    assert await store.sha256(KEY) == sha256(b"content")
    assert await store.read(KEY, 100) == b"content"
    assert await store.read(KEY, 3) == b"con"
    with store.reader(KEY) as file:
        assert file.read() == b"content"


async def test_what_is_not_stored_has_no_digest(store: LocalStore) -> None:
    assert await store.sha256(KEY) is None
    assert await store.read(KEY, 10) is None
    with pytest.raises(StoreError, match="No such file"):
        store.reader(KEY)


async def test_a_directory_in_place_of_a_file_cannot_be_read(store: LocalStore, root: Path) -> None:
    (root / KEY).mkdir(parents=True)
    with pytest.raises(StoreError, match="directory"):
        await store.sha256(KEY)
    with pytest.raises(StoreError, match="directory"):
        await store.read(KEY, 10)
    with pytest.raises(StoreError, match="directory"):
        store.reader(KEY)


@pytest.mark.parametrize("hashes", ["a file", "a part"])
async def test_hashing_ends_with_its_task(store: LocalStore, root: Path, hashes: str) -> None:
    """The file is a pipe that gives one piece before the cancellation and one after it."""
    pipe = root / (KEY if hashes == "a file" else KEY + ".part")
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    finished: list[object] = []

    async def hash_it() -> None:
        if hashes == "a file":
            finished.append(await store.sha256(KEY))
        else:
            finished.append(await store.open_part(KEY, resume=True))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hash_it)
            writer = await to_thread.run_sync(os.open, pipe, os.O_WRONLY)
            try:
                os.write(writer, b"first piece")
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
                with suppress(BrokenPipeError):
                    os.write(writer, b"second piece")
                # Nobody closes the pipe before the task is gone: only giving up ends it.
                tasks.cancel_scope.shield = True
            except BaseException:
                os.close(writer)
                raise
    os.close(writer)
    assert finished == []


# Parts ---------------------------------------------------------------------------------------


async def test_a_large_body_is_invisible_until_it_is_committed(
    store: LocalStore, root: Path
) -> None:
    part = await part_of(store, b"first ", b"second")
    assert tree(root) == {KEY + ".part"}
    assert part.size_bytes == 12
    assert part.sha256() == sha256(b"first second")
    with part.reader() as file:
        assert file.read() == b"first second"
    stat = await part.commit()
    assert tree(root) == {KEY}
    assert (root / KEY).read_bytes() == b"first second"
    assert stat == FileStat(12, (root / KEY).stat().st_mtime_ns)
    assert await store.scan(FOLDER) == {NAME: stat}


async def test_a_commit_replaces_the_old_file_at_once(store: LocalStore, root: Path) -> None:
    await store.put(KEY, b"old")
    part = await part_of(store, b"new")
    assert (root / KEY).read_bytes() == b"old"
    await part.commit()
    assert (root / KEY).read_bytes() == b"new"


async def test_a_part_that_is_begun_forgets_what_was_there(store: LocalStore) -> None:
    await (await part_of(store, b"leftover")).close()
    part = await part_of(store, b"new")
    assert part.sha256() == sha256(b"new")
    await part.commit()
    assert await store.read(KEY, 100) == b"new"


async def test_a_part_that_is_resumed_goes_on_where_it_ended(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_STEP_BYTES", 4)
    await (await part_of(store, b"the first half, ")).close()
    part = await store.open_part(KEY, resume=True)
    assert part.size_bytes == 16
    assert part.sha256() == sha256(b"the first half, ")
    await part.append(b"the second")
    assert part.size_bytes == 26
    assert part.sha256() == sha256(b"the first half, the second")
    await part.commit()
    assert await store.read(KEY, 100) == b"the first half, the second"


async def test_nothing_can_be_resumed_where_nothing_is(store: LocalStore, root: Path) -> None:
    part = await store.open_part(KEY, resume=True)
    assert part.size_bytes == 0
    assert tree(root) == set()
    await part.append(b"content")
    await part.commit()
    assert tree(root) == {KEY}


async def test_a_part_that_is_whole_already_can_be_committed(store: LocalStore) -> None:
    await (await part_of(store, b"content")).close()
    part = await store.open_part(KEY, resume=True)
    assert (await part.commit()).size_bytes == 7


async def test_a_part_can_be_appended_to_after_it_was_closed(store: LocalStore) -> None:
    part = await part_of(store, b"one ")
    await part.close()
    await part.close()
    await part.append(b"two")
    await part.commit()
    assert await store.read(KEY, 100) == b"one two"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(buffers=st.lists(st.binary(max_size=20)), resumed_at=st.sets(st.integers(0, 5)))
async def test_the_digest_does_not_depend_on_buffers_and_resumptions(
    store: LocalStore, root: Path, buffers: list[bytes], resumed_at: set[int]
) -> None:
    part = await store.open_part(KEY, resume=False)
    for number, buffer in enumerate(buffers):
        if number in resumed_at:
            await part.close()
            part = await store.open_part(KEY, resume=True)
        await part.append(buffer)
    await part.close()
    assert part.size_bytes == (root / (KEY + ".part")).stat().st_size
    assert (
        part.sha256() == sha256(b"".join(buffers)) == sha256((root / (KEY + ".part")).read_bytes())
    )


async def test_a_system_that_takes_little_at_a_time_gets_all_of_a_buffer(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sluggish(io.FileIO):
        def write(self, data: Any, /) -> int:
            return super().write(memoryview(data)[:2]) or 0

    def sluggish(descriptor: int, *_arguments: Any, **_options: Any) -> io.FileIO:
        return Sluggish(descriptor, "wb")

    monkeypatch.setattr(os, "fdopen", sluggish)
    part = await part_of(store, b"an odd number")
    await part.commit()
    assert await store.read(KEY, 100) == b"an odd number"


async def test_a_part_that_is_discarded_is_gone(store: LocalStore, root: Path) -> None:
    part = await part_of(store, b"content")
    await part.discard()
    await part.discard()
    assert tree(root) == set()


async def test_a_commit_that_is_refused_keeps_the_part(store: LocalStore, root: Path) -> None:
    part = await part_of(store, b"content")
    (root / KEY / "mine").mkdir(parents=True)
    with pytest.raises(StoreError, match="directory"):
        await part.commit()
    assert tree(root) == {KEY + ".part"}


async def test_a_part_that_was_removed_by_others_is_a_refusal(
    store: LocalStore, root: Path
) -> None:
    part = await part_of(store, b"content")
    (root / (KEY + ".part")).unlink()
    with pytest.raises(StoreError, match="No such file"):
        part.reader()
    with pytest.raises(StoreError, match="No such file"):
        await part.commit()
    with pytest.raises(StoreError, match="No such file"):
        await part.quarantine({})
    assert not (root / KEY).exists()


# Quarantine ----------------------------------------------------------------------------------

NOTE = {"key": KEY, "reason": "häßlich", "sha256": None}


def quarantined(root: Path) -> tuple[bytes, object]:
    path = root / OWN_FOLDER / "quarantine" / KEY
    return path.read_bytes(), json.loads((path.parent / (NAME + ".json")).read_bytes())


async def test_a_small_body_is_set_aside_with_its_note(store: LocalStore, root: Path) -> None:
    await store.put(KEY, b"good")
    await store.quarantine(KEY, b"bad", NOTE)
    assert quarantined(root) == (b"bad", NOTE)
    assert (root / KEY).read_bytes() == b"good"
    assert len(tree(root)) == 3


async def test_a_part_is_set_aside_with_its_note(store: LocalStore, root: Path) -> None:
    await (await part_of(store, b"bad")).quarantine(NOTE)
    assert quarantined(root) == (b"bad", NOTE)
    assert len(tree(root)) == 2


async def test_a_body_in_quarantine_takes_the_place_of_an_earlier_one(
    store: LocalStore, root: Path
) -> None:
    await store.quarantine(KEY, b"bad, and long", {"reason": "first"})
    await store.quarantine(KEY, b"worse", NOTE)
    assert quarantined(root) == (b"worse", NOTE)
    await (await part_of(store, b"worst")).quarantine({"reason": "third"})
    assert quarantined(root) == (b"worst", {"reason": "third"})
    assert len(tree(root)) == 2


async def test_a_quarantine_that_is_refused_is_told(store: LocalStore, root: Path) -> None:
    (root / OWN_FOLDER / "quarantine" / KEY).mkdir(parents=True)
    with pytest.raises(StoreError, match="directory"):
        await store.quarantine(KEY, b"bad", NOTE)
    part = await part_of(store, b"bad")
    with pytest.raises(StoreError, match="directory"):
        await part.quarantine(NOTE)
    assert tree(root) == {KEY + ".part"}
