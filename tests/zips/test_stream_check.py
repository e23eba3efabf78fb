"""A zip that is read while it passes by, against the check that reads it whole."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.zips.check import zip_fault
from crypto_lakehouse.zips.stream_check import StreamedZip

MEMBER = "BTCUSDT-trades-2025-07-15.csv"


def make(content: bytes, compression: int = zipfile.ZIP_DEFLATED, member: str = MEMBER) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


class Unseekable(io.RawIOBase):
    """A file that cannot be rewound: zipfile then puts the sizes behind the content."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self.data += piece
        return len(piece)


def make_with_sizes_behind(content: bytes, compression: int) -> bytes:
    file = Unseekable()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(MEMBER, content)
    return file.data


def passed(data: bytes, cuts: list[int] | None = None) -> StreamedZip:
    """Let a zip pass in pieces."""
    streamed, start = StreamedZip(), 0
    for cut in [*sorted({min(cut, len(data)) for cut in cuts or []}), len(data)]:
        streamed.feed(data[start:cut])
        start = cut
    return streamed


def fault_of(data: bytes, cuts: list[int] | None = None) -> str:
    return passed(data, cuts).fault(MEMBER)


CUTS = st.lists(st.integers(0, 4000), max_size=8)


@given(st.binary(max_size=3000), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), CUTS)
def test_a_good_zip_is_good_in_any_pieces(content: bytes, kind: int, cuts: list[int]) -> None:
    assert fault_of(make(content, kind), cuts) == ""


GOOD = make(b"1,2,3\n" * 300)
STORED = make(b"1,2,3\n" * 30, zipfile.ZIP_STORED)


@given(
    st.sampled_from([GOOD, STORED]),
    st.dictionaries(st.integers(0, 400), st.integers(0, 255), max_size=4),
    CUTS,
)
def test_what_is_good_is_good_to_the_check_of_a_file(
    data: bytes, changes: dict[int, int], cuts: list[int]
) -> None:
    spoilt = bytearray(data)
    for at, value in changes.items():
        spoilt[at % len(data)] = value
    fault = fault_of(bytes(spoilt), cuts)
    if fault == "":
        assert zip_fault(io.BytesIO(bytes(spoilt)), MEMBER) == ""
    assert "\n" not in fault


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("pieces", [1, 1000, 1 << 16, 1 << 20, 1 << 30])
def test_more_than_the_tail_is_good_in_pieces_of_any_size(kind: int, pieces: int) -> None:
    content = random.Random(7).randbytes(200_000)
    data = make(content, kind)
    if pieces == 1:
        data = make(content[:80_000], kind)
    assert fault_of(data, [*range(0, len(data), pieces)]) == ""


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("content", [b"1,2,3\n" * 300, bytes(range(256)) * 1000])
def test_sizes_behind_the_content_are_no_matter(kind: int, content: bytes) -> None:
    assert fault_of(make_with_sizes_behind(content, kind), [5000]) == ""


def test_content_is_inflated_in_bounded_steps() -> None:
    assert fault_of(make(bytes(5 << 20))) == ""


def test_a_long_comment_is_no_matter() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, random.Random(7).randbytes(100_000))
        archive.comment = b"c" * 65_535
    assert fault_of(buffer.getvalue()) == ""


def test_a_zip64_is_good() -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive,
        archive.open(MEMBER, "w", force_zip64=True) as member,
    ):
        member.write(b"1,2,3\n" * 300)
    assert fault_of(buffer.getvalue()) == ""


def with_changed_directory(data: bytes, at: int, value: bytes) -> bytes:
    """A zip with other bytes at a place of its directory's entry (APPNOTE.TXT 4.3.12)."""
    place = data.rindex(b"PK\x01\x02") + at
    return data[:place] + value + data[place + len(value) :]


def with_two_members() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(MEMBER, b"1")
        archive.writestr("second.csv", b"2")
    return buffer.getvalue()


def with_spoilt_content() -> bytes:
    spoilt = bytearray(GOOD)
    spoilt[30 + len(MEMBER)] ^= 0xFF
    return bytes(spoilt)


def with_many_members() -> bytes:
    """A zip whose directory is longer than what is kept of the end."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1500):
            archive.writestr(f"{number}.csv", b"")
    return buffer.getvalue()


EMPTY = make(b"")[:-22] + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0)

FAULTS = {
    "nothing": (b"", "not a zip file"),
    "two bytes": (b"PK", "not a zip file"),
    "a page": (b"<html>" * 30, "not a zip file"),
    "a byte is missing": (GOOD[:-1], "not a zip file"),
    "the directory is missing": (GOOD[:80], "not a zip file"),
    "no whole header": (GOOD[:20], "not a zip file"),
    "stored, without a directory": (STORED[:70], "not a zip file"),
    "bytes before it": (b"before" + GOOD, "begins at byte 6, not at 0"),
    "twice": (GOOD + GOOD, f"begins at byte {len(GOOD)}, not at 0"),
    "another method": (make(b"x", zipfile.ZIP_BZIP2), "compressed by method 12"),
    "another member": (make(b"x", member="other.csv"), "is 'other.csv' instead of"),
    "no member": (EMPTY, "has 0 members instead of one"),
    "two members": (with_two_members(), "has 2 members instead of one"),
    "1,500 members": (with_many_members(), "directory is larger than that of one member"),
    "spoilt": (with_spoilt_content(), "not a readable zip: "),
    "another local name": (GOOD.replace(b"BTC", b"ETH", 1), "another name than the directory"),
    "another local method": (GOOD[:8] + b"\0\0" + GOOD[10:], "another method than the directory"),
    "no local header": (b"XX" + GOOD[2:], "no local header at the first byte"),
    "a sum that is wrong": (with_changed_directory(GOOD, 16, b"1234"), "the CRC-32 of"),
    "a stored sum that is wrong": (with_changed_directory(STORED, 16, b"1234"), "the CRC-32 of"),
    "a size that is wrong": (with_changed_directory(GOOD, 24, b"\1\0"), "is not 1 B long, as"),
    "a packed size that is wrong": (
        with_changed_directory(GOOD, 20, b"\1\0"), "is not 1 B long, as announced"
    ),
    "a stored size that is wrong": (
        with_changed_directory(STORED, 20, b"\1\0\0\0\1\0\0\0"), "the CRC-32 of"
    ),
    "two sizes of stored content": (
        with_changed_directory(STORED, 20, b"\x0a\0\0\0"), "has two sizes"
    ),
    "an announced bomb": (
        with_changed_directory(GOOD, 24, b"\0\0\0\x7f"), "the zip is a bomb"
    ),
    "a directory that begins before the file": (
        GOOD[:-10] + struct.pack("<L", 1 << 31) + GOOD[-6:], "not a readable zip"
    ),
    "a member that begins before the file": (
        GOOD[:-6] + struct.pack("<L", 1 << 30) + GOOD[-2:], "not a readable zip"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "fault"), FAULTS.values(), ids=FAULTS)
def test_anything_else_is_refused_with_a_reason(data: bytes, fault: str) -> None:
    assert fault in fault_of(data, [10, 40])
    assert zip_fault(io.BytesIO(data), MEMBER) != ""


def test_a_header_that_breaks_off_is_refused() -> None:
    """The name's length reaches behind the end of the file."""
    assert "its local header breaks off" in fault_of(GOOD[:26] + b"\xff\x0f" + GOOD[28:])


def test_content_that_ends_too_early_is_refused() -> None:
    """The local header is that of another archive, whose content is longer."""
    longer, place = make(random.Random(7).randbytes(3000)), GOOD.rindex(b"PK\x01\x02")
    assert fault_of(longer[:place] + GOOD[place:]) == (
        "not a readable zip: the compressed data breaks off"
    )


def test_a_bomb_is_not_unpacked_to_its_end() -> None:
    data = with_changed_directory(make(bytes(64 << 20)), 24, b"\1\0\0\0")
    streamed = StreamedZip()
    for place in range(0, len(data), 1000):
        streamed.feed(data[place : place + 1000])
    assert "its content is a bomb" in streamed.fault(MEMBER)
    assert streamed.unpacked_bytes < 18 << 20


def test_stored_content_that_has_left_the_tail_is_not_taken_for_all_of_it() -> None:
    """The directory says 10 packed bytes, and as its size just what is no longer in memory."""
    content = random.Random(7).randbytes(1_500_000)
    data = make(content, zipfile.ZIP_STORED)
    place = data.rindex(b"PK\x01\x02")
    for seen in range(len(data) - 69_700, len(data) - 69_600):
        size = seen - 30 - len(MEMBER)
        crc = zlib.crc32(content[:size])
        sizes = struct.pack("<3L", crc, 10, size)
        assert fault_of(data[: place + 16] + sizes + data[place + 28 :], [1 << 20]) != ""


def test_a_beginning_that_unpacks_to_a_lot_is_no_bomb_if_the_rest_is_large() -> None:
    data = make(bytes(40 << 20) + random.Random(7).randbytes(1 << 20))
    assert zip_fault(io.BytesIO(data), MEMBER) == ""
    for expected, fault in ((len(data), ""), (0, "its content is a bomb")):
        streamed = StreamedZip(expected)
        for place in range(0, len(data), 10_000):
            streamed.feed(data[place : place + 10_000])
        assert fault in streamed.fault(MEMBER)
        assert (streamed.fault(MEMBER) == "") == (fault == "")
