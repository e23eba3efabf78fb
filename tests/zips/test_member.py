"""The one member of a zip, a step at a time."""

from __future__ import annotations

import errno
import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.testing.made_up.zips import SPOILED, good_zip, spoiled_zip
from crypto_lakehouse.zips.check import zip_fault
from crypto_lakehouse.zips.member import BadMember, member_chunks

KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"
MEMBER = "BTCUSDT-1h-2025-07-15.csv"


def read(data: bytes) -> bytes:
    return b"".join(member_chunks(io.BytesIO(data), MEMBER))


def packed(content: bytes, method: int = zipfile.ZIP_DEFLATED, member: str = MEMBER) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr(zipfile.ZipInfo(member, (2025, 1, 1, 0, 0, 0)), content, method)
    return buffer.getvalue()


@given(content=st.binary(max_size=5000), times=st.sampled_from([1, 2, 700]))
def test_what_was_packed_comes_out(content: bytes, times: int) -> None:
    assert read(packed(content * times)) == content * times
    assert read(packed(content * times, zipfile.ZIP_STORED)) == content * times


def test_chunks_are_small_and_many() -> None:
    content = b"1,2,3\n" * 600_000
    chunks = list(member_chunks(io.BytesIO(packed(content)), MEMBER))
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= 1 << 20


@pytest.mark.parametrize("kind", sorted(SPOILED))
def test_what_is_no_archive_is_refused(kind: str) -> None:
    good = good_zip(KEY, b"1,2\n" * 50)
    spoiled = spoiled_zip(kind, KEY, b"1,2\n" * 50)
    assert read(good) == b"1,2\n" * 50
    with pytest.raises(BadMember):
        read(spoiled)


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(BadMember, match="bomb"):
        read(packed(bytes(64 << 20)))


def test_a_member_that_is_longer_than_announced_is_cut_off() -> None:
    data = bytearray(packed(b"0123456789", zipfile.ZIP_STORED))
    place = data.index(b"PK\x01\x02") + 20
    data[place : place + 8] = struct.pack("<LL", 10, 5)
    with pytest.raises(BadMember, match="announced"):
        read(bytes(data))


def test_a_directory_that_points_before_the_file_is_refused() -> None:
    data = bytearray(packed(b"x"))
    end = data.index(b"PK\x05\x06")
    data[end + 16 : end + 20] = struct.pack("<L", 0xFFFFFFF0)
    with pytest.raises(BadMember):
        read(bytes(data))


def test_an_error_of_the_disk_is_no_fault_of_the_zip(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == 0:  # the directory, at the end, can be read
                raise OSError(5, "input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="input/output"):
        list(member_chunks(Broken(packed(b"x")), MEMBER))


def test_a_place_that_the_system_refuses_is_a_fault_of_the_zip() -> None:
    class Refusing(io.BytesIO):
        def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
            if whence == io.SEEK_SET:
                raise OSError(errno.EINVAL, "Invalid argument")
            return super().seek(offset, whence)

    with pytest.raises(BadMember, match="before its beginning"):
        list(member_chunks(Refusing(packed(b"x")), MEMBER))


@pytest.mark.parametrize("field", [12, 16], ids=["size of the directory", "place of it"])
def test_a_member_before_the_beginning_is_refused(tmp_path: Path, field: int) -> None:
    data = bytearray(packed(b"x"))
    place = data.index(b"PK\x05\x06") + field
    data[place : place + 4] = struct.pack("<L", len(data) + 100)
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with path.open("rb") as file, pytest.raises(BadMember, match="not a readable zip"):
        list(member_chunks(file, MEMBER))


def test_a_directory_of_many_members_is_not_read(tmp_path: Path) -> None:
    """A file of 70 MB could list a million members; zipfile makes an object for each."""
    data = packed(b"x")
    place, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    times = (1 << 20) // (end - place) + 1
    record = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, times * (end - place), place, 0)
    path = tmp_path / "x.zip"
    path.write_bytes(data[:place] + data[place:end] * times + record)
    with path.open("rb") as file, pytest.raises(BadMember, match="directory has more than"):
        list(member_chunks(file, MEMBER))
    fault = zip_fault(io.BytesIO(path.read_bytes()), MEMBER)
    assert fault is not None
    assert "directory has more than" in fault
