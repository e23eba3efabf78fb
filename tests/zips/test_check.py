"""What is a readable archive, whatever its digest says."""

from __future__ import annotations

import errno
import io
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.zips.check import INLINE_BYTES, check_zip, zip_fault
from crypto_lakehouse.zips.inflate import is_bomb
from crypto_lakehouse.zips.stream_check import StreamedZip

MEMBER = "BTCUSDT-1h-2025-07-15.csv"


def make(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


GOOD = make({MEMBER: b"1,2,3\n" * 200})


def spoilt(change: Callable[[bytearray], None], data: bytes = GOOD) -> bytes:
    copy = bytearray(data)
    change(copy)
    return bytes(copy)


def encrypt(data: bytearray) -> None:
    """Set the flag in the local header and in the central directory."""
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1


def patch(data: bytearray) -> None:
    """Claim that the content is a patch, as nobody can read it."""
    data[data.index(b"PK\x01\x02") + 8] |= 0x20


def flip_content(data: bytearray) -> None:
    data[30 + len(MEMBER) + 2] ^= 0xFF


def lie_about_crc(data: bytearray) -> None:
    data[data.index(b"PK\x01\x02") + 16] ^= 0xFF


def shorten_content(data: bytearray) -> None:
    """Announce a byte less of compressed data than there is, in both places."""
    directory = data.rindex(b"PK\x01\x02")
    (size,) = struct.unpack_from("<L", data, directory + 20)
    struct.pack_into("<L", data, 18, size - 1)
    struct.pack_into("<L", data, directory + 20, size - 1)


def test_a_good_zip_has_no_fault() -> None:
    assert zip_fault(io.BytesIO(GOOD), MEMBER) == ""


def test_a_name_that_goes_on_behind_a_nul_is_another_name() -> None:
    data = make({f"{MEMBER}_evil": b"1,2,3\n"}).replace(b"_evil", b"\0evil")
    fault = f"the zip's member is '{MEMBER}\\x00evil' instead of `{MEMBER}`"
    assert zip_fault(io.BytesIO(data), MEMBER) == fault
    streamed = StreamedZip(len(data))
    streamed.feed(data)
    assert streamed.fault(MEMBER) == fault


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "not a readable zip"),
        (b"<html>busy</html>", "not a readable zip"),
        (GOOD[:-30], "not a readable zip"),
        (GOOD[30:], "not a readable zip"),
        (make({}), "0 members"),
        (make({MEMBER: b"", "b": b""}), "2 members"),
        (make({"other.csv": b""}), "instead of"),
        (make({f"../{MEMBER}": b""}), "instead of"),
        (spoilt(encrypt), "encrypted"),
        (spoilt(patch), "flags (0x20)"),
        (spoilt(flip_content), "zip"),
        (spoilt(lie_about_crc), "CRC"),
        (spoilt(shorten_content), "breaks off"),
        (make({MEMBER: b"x"}, zipfile.ZIP_BZIP2), "method 12"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, fault: str) -> None:
    assert fault in (zip_fault(io.BytesIO(data), MEMBER) or "")


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_flipped_byte_is_found_or_harmless(at: int, mask: int) -> None:
    """Never another exception than ours; content that changed is always found."""
    data = bytearray(GOOD)
    data[at] ^= mask
    fault = zip_fault(io.BytesIO(bytes(data)), MEMBER)
    if fault == "":
        with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
            assert archive.read(MEMBER) == b"1,2,3\n" * 200


async def test_a_large_member_is_read_in_a_thread() -> None:
    data = make({MEMBER: b"\0" * (INLINE_BYTES + 1)})
    assert zip_fault(io.BytesIO(data), MEMBER, limit=INLINE_BYTES) is None
    assert await check_zip(lambda: io.BytesIO(data), MEMBER, len(data)) == ""


async def test_a_large_zip_is_read_in_a_thread() -> None:
    data = make({MEMBER: b"x" * (INLINE_BYTES + 1)}, zipfile.ZIP_STORED)
    assert await check_zip(lambda: io.BytesIO(data), MEMBER, len(data)) == ""
    assert "members" in await check_zip(
        lambda: io.BytesIO(make({}) + b""), MEMBER, INLINE_BYTES + 1
    )


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@given(content=st.binary(max_size=200))
def test_any_content_makes_a_good_zip(compression: int, content: bytes) -> None:
    assert zip_fault(io.BytesIO(make({MEMBER: content}, compression)), MEMBER) == ""


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert zip_fault(io.BytesIO(data), MEMBER)


@given(st.integers(0, len(GOOD) - 1))
def test_a_zip_that_was_cut_anywhere_is_found(length: int) -> None:
    assert zip_fault(io.BytesIO(GOOD[:length]), MEMBER)


DIRECTORY = GOOD.index(b"PK\x01\x02")


@given(
    st.dictionaries(
        st.integers(0, len(GOOD) - 1) | st.integers(DIRECTORY, len(GOOD) - 1),
        st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255),
        min_size=1,
        max_size=6,
    )
)
def test_bytes_that_were_overwritten_are_found_or_harmless(changes: dict[int, int]) -> None:
    data = bytearray(GOOD)
    for at, value in changes.items():
        data[at] = value
    fault = zip_fault(io.BytesIO(bytes(data)), MEMBER)
    if fault == "":
        with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
            assert archive.read(MEMBER) == b"1,2,3\n" * 200


def zip64() -> bytes:
    """A zip whose one member has the long form of its sizes."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(MEMBER, "w", force_zip64=True) as member,
    ):
        member.write(b"1,2,3\n" * 200)
    return buffer.getvalue()


def test_a_zip_in_the_long_form_is_good() -> None:
    data = zip64()
    assert zip_fault(io.BytesIO(data), MEMBER) == ""
    assert zip_fault(io.BytesIO(data[:-30]), MEMBER)


def declaring(size_bytes: int, content: bytes = b"1,2,3\n" * 200) -> bytes:
    """A zip whose directory says another uncompressed size than the member has."""
    data = bytearray(make({MEMBER: content}))
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, size_bytes)
    return bytes(data)


@pytest.mark.parametrize("size_bytes", [0, 1, 1199, 1201, INLINE_BYTES])
async def test_a_size_that_is_a_lie_is_found(size_bytes: int) -> None:
    data = declaring(size_bytes)
    assert zip_fault(io.BytesIO(data), MEMBER)
    assert await check_zip(lambda: io.BytesIO(data), MEMBER, len(data))


@pytest.mark.parametrize("size_bytes", [INLINE_BYTES + 1, 16 << 20])
async def test_a_huge_size_that_is_a_lie_is_found_in_the_thread(size_bytes: int) -> None:
    data = declaring(size_bytes)
    assert zip_fault(io.BytesIO(data), MEMBER, limit=INLINE_BYTES) is None
    assert await check_zip(lambda: io.BytesIO(data), MEMBER, len(data))


@pytest.mark.parametrize("size_bytes", [(16 << 20) + 1, 2**32 - 2, 2**32 - 1])
def test_what_says_that_it_is_a_bomb_is_not_unpacked(size_bytes: int) -> None:
    fault = zip_fault(io.BytesIO(declaring(size_bytes)), MEMBER, step=pytest.fail)
    assert f"unpack to {size_bytes}" in (fault or "")


def test_a_packed_size_that_is_a_lie_hides_no_bomb() -> None:
    data = bytearray(declaring(2**31))
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 20, 2**30)
    fault = zip_fault(io.BytesIO(data), MEMBER, step=pytest.fail)
    assert "bomb" in (fault or "")


def test_an_archive_that_packs_well_is_no_bomb() -> None:
    line = b"1577836800000,0.01,0.01,0.01,0.01,0.0,1577836859999,0.0,0,0.0,0.0,0\n"
    data = make({MEMBER: line * 100_000})
    assert not is_bomb(len(data), len(line) * 100_000)
    assert zip_fault(io.BytesIO(data), MEMBER) == ""


def test_no_more_is_inflated_than_was_declared() -> None:
    """A bomb that says it is small is not read past what it says."""
    steps: list[None] = []
    data = declaring(10, b"\0" * (8 << 20))
    assert zip_fault(io.BytesIO(data), MEMBER, step=lambda: steps.append(None))
    assert len(steps) <= 1


def test_nothing_is_inflated_beyond_the_limit() -> None:
    def refuse() -> None:
        pytest.fail("the member was read")

    data = make({MEMBER: b"\0" * 1000})
    assert zip_fault(io.BytesIO(data), MEMBER, step=refuse, limit=999) is None
    assert zip_fault(io.BytesIO(data), MEMBER, limit=1000) == ""


class Opener:
    """Opens the same bytes again and again; remembers in which threads, and what is open."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.threads: list[int] = []
        self.files: list[io.BytesIO] = []

    def __call__(self) -> BinaryIO:
        self.threads.append(threading.get_ident())
        self.files.append(io.BytesIO(self.data))
        return self.files[-1]


@pytest.mark.parametrize(
    ("content", "size_bytes", "in_thread"),
    [
        (b"small", 100, [False]),
        (b"\0" * INLINE_BYTES, 100, [False]),
        (b"\0" * (INLINE_BYTES + 1), 100, [False, True]),
        (b"small", INLINE_BYTES, [False]),
        (b"small", INLINE_BYTES + 1, [True]),
    ],
)
async def test_what_takes_long_is_read_in_a_thread_and_nothing_stays_open(
    content: bytes, size_bytes: int, in_thread: list[bool]
) -> None:
    opener = Opener(make({MEMBER: content}))
    assert await check_zip(opener, MEMBER, size_bytes) == ""
    assert [thread != threading.get_ident() for thread in opener.threads] == in_thread
    assert all(file.closed for file in opener.files)


@pytest.mark.parametrize("size_bytes", [100, INLINE_BYTES + 1])
async def test_a_fault_is_the_same_inline_and_in_a_thread(size_bytes: int) -> None:
    opener = Opener(spoilt(lie_about_crc))
    assert "CRC" in await check_zip(opener, MEMBER, size_bytes)
    assert all(file.closed for file in opener.files)


class Stalling(io.BytesIO):
    """Stalls at the first large read until it is released, and counts large reads."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reading = anyio.Event()
        self.released = threading.Event()
        self.large_reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > 100_000:
            self.large_reads += 1
            if self.large_reads == 1:
                anyio.from_thread.run_sync(self.reading.set)
                assert self.released.wait(200)
        return super().read(size)


async def test_a_long_check_ends_with_its_task() -> None:
    file = Stalling(make({MEMBER: b"x" * (16 << 20)}, zipfile.ZIP_STORED))
    finished: list[str] = []

    async def check() -> None:
        finished.append(await check_zip(lambda: file, MEMBER, INLINE_BYTES + 1))

    with anyio.fail_after(200):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(check)
            await file.reading.wait()
            tasks.cancel_scope.cancel()
            file.released.set()
    assert finished == []
    assert file.large_reads == 1, "of sixteen"
    assert file.closed


def test_a_name_that_is_not_ascii_is_read() -> None:
    name = "币安人生USDT-1h-2025-07-15.csv"
    assert zip_fault(io.BytesIO(make({name: b"1"})), name) == ""


@pytest.mark.parametrize("field", [10, 6], ids=["size of the directory", "place of it"])
async def test_a_place_before_the_beginning_of_a_file_is_a_fault_of_the_zip(
    tmp_path: Path, field: int
) -> None:
    """The directory is said to be larger, or further on, than it is: places become negative."""
    data = bytearray(GOOD)
    struct.pack_into("<L", data, len(data) - field, len(GOOD) + 100)
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    fault = await check_zip(lambda: path.open("rb"), MEMBER, len(data))
    assert fault.startswith("not a readable zip")


def test_a_place_that_the_system_refuses_is_a_fault_of_the_zip() -> None:
    """Older Pythons look for a directory that begins before its file; a file refuses to seek."""

    class Refusing(io.BytesIO):
        def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
            if whence == io.SEEK_SET:
                raise OSError(errno.EINVAL, "Invalid argument")
            return super().seek(offset, whence)

    assert "before its beginning" in (zip_fault(Refusing(GOOD), MEMBER) or "")


def test_a_disk_that_fails_is_no_fault_of_the_zip() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() < DIRECTORY:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error"):
        zip_fault(Failing(GOOD), MEMBER)
