"""A zip that is read while it passes by, against the check that reads it whole."""

from __future__ import annotations

import io
import struct
import zipfile

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


def is_good(data: bytes, cuts: list[int] | None = None) -> bool:
    return passed(data, cuts).is_good(io.BytesIO(data), MEMBER)


CUTS = st.lists(st.integers(0, 4000), max_size=8)


@given(st.binary(max_size=3000), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), CUTS)
def test_a_good_zip_is_good_in_any_pieces(content: bytes, kind: int, cuts: list[int]) -> None:
    assert is_good(make(content, kind), cuts)


GOOD = make(b"1,2,3\n" * 300)
STORED = make(b"1,2,3\n" * 30, zipfile.ZIP_STORED)


@given(
    st.sampled_from([GOOD, STORED]),
    st.dictionaries(st.integers(0, 400), st.integers(0, 255), max_size=4),
    CUTS,
)
def test_what_is_good_is_good_to_the_other_check(
    data: bytes, changes: dict[int, int], cuts: list[int]
) -> None:
    spoilt = bytearray(data)
    for at, value in changes.items():
        spoilt[at % len(data)] = value
    if is_good(bytes(spoilt), cuts):
        assert zip_fault(io.BytesIO(bytes(spoilt)), MEMBER) == ""


def test_content_is_inflated_in_bounded_steps() -> None:
    assert is_good(make(bytes(5 << 20)))


def test_sizes_behind_deflated_content_are_no_matter() -> None:
    assert is_good(make_with_sizes_behind(b"1,2,3\n" * 300, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"<html>" * 30,
        GOOD[:-1],
        GOOD[:80],
        GOOD[:20],
        STORED[:70],
        GOOD + GOOD,
        make_with_sizes_behind(b"1,2,3\n" * 300, zipfile.ZIP_STORED),
        make(b"x", zipfile.ZIP_BZIP2),
        make(b"x", member="other.csv"),
        make(b"")[:-22] + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0),
    ],
)
def test_anything_else_is_left_to_the_other_check(data: bytes) -> None:
    assert not is_good(data)


def test_content_that_is_spoilt_is_left_to_the_other_check() -> None:
    spoilt = bytearray(GOOD)
    spoilt[30 + len(MEMBER)] ^= 0xFF
    streamed = passed(bytes(spoilt))
    streamed.feed(b"more is no matter")
    assert not streamed.is_good(io.BytesIO(bytes(spoilt)), MEMBER)
    assert not passed(GOOD).is_good(io.BytesIO(STORED), MEMBER)


def test_two_members_are_left_to_the_other_check() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(MEMBER, b"1")
        archive.writestr("second.csv", b"2")
    assert not is_good(buffer.getvalue())


def test_a_bomb_is_not_unpacked_to_its_end() -> None:
    data = make(bytes(64 << 20))
    streamed = StreamedZip()
    for place in range(0, len(data), 1000):
        streamed.feed(data[place : place + 1000])
    assert not streamed.is_good(io.BytesIO(data), MEMBER)
    assert streamed._size_bytes < 18 << 20
