"""A line with too many bytes, or another number of fields, is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.reading.test_refusals import SPOT, read
from tests.tables.sample_data import archive_of, every_schema, put, text_of, zipped

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ArchiveRefused
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.reading.counted_lines import LINE_BYTES, CountedLines
from crypto_lakehouse.tables.schema.schemas import TableSchema


@pytest.mark.parametrize("schema", every_schema(), ids=lambda schema: schema.name)
def test_a_line_of_another_length_is_refused_whatever_its_fields_are(
    schema: TableSchema, tmp_path: Path
) -> None:
    archive = archive_of(schema)
    lines = text_of(archive).splitlines()
    whole = lines[2].split(",")
    for fields in ([*whole, whole[-1]], [*whole, ""], whole[:-1]):
        text = "\n".join([*lines[:2], ",".join(fields), *lines[3:]]) + "\n"
        _, (refused,) = read([put(tmp_path, archive, text)])
        assert refused.error.line == 3
        assert refused.error.reason == f"{len(fields)} fields instead of {len(whole)}"


def long_line(number: int, size: int, total: int = 24) -> bytes:
    """Bars, of which one line has so many bytes: its last field has no meaning and any length."""
    lines = text_of(Archive.parse(SPOT)).encode().splitlines()
    lines = [*lines, *[lines[-1]] * (total - len(lines))]
    lines[number - 1] += b"0" * (size - len(lines[number - 1]))
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize("number", [1, 2, 24, 30_000])
@pytest.mark.parametrize("beyond", [0, 1, 3 << 20])
def test_a_line_may_have_64_kib(number: int, beyond: int, tmp_path: Path) -> None:
    total = max(24, number + 1)
    source = put(tmp_path, Archive.parse(SPOT), long_line(number, LINE_BYTES + beyond, total))
    rows, refused = read([source])
    if not beyond:
        assert (rows, refused) == (total, [])
        return
    assert refused[0].error.line == number
    assert refused[0].error.reason == "the line has more than 65,536 bytes"


@given(
    sizes=st.lists(st.integers(0, LINE_BYTES + 2) | st.integers(0, 200), max_size=8),
    step=st.integers(1000, 200_000),
    ended=st.booleans(),
)
def test_lines_are_counted_whatever_the_chunks(sizes: list[int], step: int, ended: bool) -> None:
    text = b"".join(b"x" * size + b"\n" for size in sizes)
    text = text if ended else text[:-1]
    chunks = (text[begin : begin + step] for begin in range(0, len(text), step))
    lines = CountedLines("key", chunks)
    too_long = [number for number, size in enumerate(sizes, 1) if size > LINE_BYTES]
    if too_long:
        with pytest.raises(ArchiveRefused) as refused:
            list(lines)
        assert refused.value.line == too_long[0]
    else:
        assert b"".join(lines) == text
        assert lines.ends == text.count(b"\n")


def test_one_line_of_a_gigabyte_fills_no_memory(tmp_path: Path) -> None:
    archive = Archive.parse(SPOT)
    path = tmp_path / archive.key
    path.parent.mkdir(parents=True)
    path.write_bytes(zipped(archive.member, b"1" * (64 << 20)))
    tracemalloc.start()
    _, (refused,) = read([Source(archive, LocalFiles(tmp_path))])
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert (refused.error.line, refused.error.column) == (1, "")
    assert "more than 65,536 bytes" in str(refused.error)
