"""What is a readable archive, whatever its digest says."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.collection.zip_check import INLINE_BYTES, check_zip, zip_fault

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


def flip_content(data: bytearray) -> None:
    data[30 + len(MEMBER) + 2] ^= 0xFF


def lie_about_crc(data: bytearray) -> None:
    data[data.index(b"PK\x01\x02") + 16] ^= 0xFF


def test_a_good_zip_has_no_fault() -> None:
    assert zip_fault(io.BytesIO(GOOD), MEMBER) == ""


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
        (spoilt(flip_content), "zip"),
        (spoilt(lie_about_crc), "CRC"),
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


async def test_a_check_in_a_thread_ends_with_its_task() -> None:
    entered = anyio.Event()
    data = make({MEMBER: b"\0" * (64 << 20)})

    def reader() -> io.BytesIO:
        anyio.from_thread.run_sync(entered.set)
        return io.BytesIO(data)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(check_zip, reader, MEMBER, INLINE_BYTES + 1)
        await entered.wait()
        tasks.cancel_scope.cancel()
    assert tasks.cancel_scope.cancelled_caught
