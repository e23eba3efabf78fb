"""The fault finder agrees with the parser: any field that is refused has its line and column."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.tables.sample_data import archive_of, every_schema, put, text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.reading.batch import Batch
from crypto_lakehouse.tables.reading.fault_finder import first_fault
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.schemas import Column, TableSchema, schema_of

SCHEMAS = {schema.name: schema for schema in every_schema()}

IN_MICROSECONDS = "1689379200000000"

#: Texts on which Python and Polars differ, or that only one column type accepts.
SPOILT = [
    "5_0", " 5", "5 ", "+5", "-5", "1e5", "1E-5", "0x10", "", " ", "nan", "inf", "-Infinity",
    "1e400", "\N{ARABIC-INDIC DIGIT FIVE}", "\N{FULLWIDTH DIGIT FIVE}", "\N{MINUS SIGN}5",
    "5" * 5_000, "0." + "5" * 5_000, "\0", "5\0", "5.", ".5", ".", "5\r", '"5"', "TRUE", "true ",
    "2023-02-29", "2023-07-15 24:00:00", "2023-7-1", "9223372036854775808", "1689379200",
    IN_MICROSECONDS, "\ufeff5",
]  # fmt: skip

ANY = st.sampled_from(SPOILT) | st.text(
    st.characters(codec="utf-8", exclude_characters=",\n"), max_size=12
)


@cache
def lines_of(schema: TableSchema) -> tuple[Archive, tuple[Column, ...], bool, list[list[str]]]:
    """An archive of a table, its columns, whether it has a header, and at most 12 lines."""
    archive = archive_of(schema)
    lines = [line.split(",") for line in text_of(archive).splitlines()[:12]]
    columns = tuple(column for column in schema.columns if not column.optional)
    return archive, columns, lines[0] == [column.published for column in columns], lines


@settings(max_examples=examples(400), deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(SCHEMAS)), exact=st.booleans(), spoilt=ANY)
def test_a_spoilt_field_is_read_or_named(
    data: st.DataObject,
    name: str,
    exact: bool,
    spoilt: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    archive, columns, header, lines = lines_of(SCHEMAS[name])
    line = data.draw(st.integers(int(header), len(lines) - 1), label="line")
    place = data.draw(st.integers(0, len(columns) - 1), label="column")
    known = {column.published for column in SCHEMAS[name].columns}
    if line == 0 and (spoilt.strip().lower() in known or (not place and spoilt[:1] == "\ufeff")):
        return  # the first line would not be a row
    if line == int(header) and columns[place].kind == "time" and spoilt == IN_MICROSECONDS:
        return  # a valid time, which decides the unit of those after it
    fields = [*lines[line]]
    fields[place] = spoilt
    text = "\n".join(",".join(each) for each in [*lines[:line], fields, *lines[line + 1 :]]) + "\n"
    source = put(tmp_path_factory.mktemp("spoilt"), archive, text)
    (result,) = read_batches([source], SCHEMAS[name], exact=exact)
    if isinstance(result, Batch):
        assert result.frame.height == len(lines) - header
    else:
        where = (result.error.line, result.error.column)
        assert where == (line + 1, columns[place].published), str(result.error)


@pytest.mark.parametrize(
    ("spoilt", "exact", "reason"),
    [
        ("5_0", False, "`5_0` is not a number"),
        ("5_0", True, "`5_0` is not a number"),
        (" 5", True, "` 5` is not a number"),
        ("1e400", True, "`1e400` is not a number"),
        ("5" * 5_000, False, f"`{'5' * 40}` is not a number"),
        ("5" * 300, True, f"`{'5' * 40}` does not fit decimal(38, 18)"),
    ],
)
def test_the_reason_is_that_of_the_parser(
    spoilt: str, exact: bool, reason: str, tmp_path: Path
) -> None:
    archive, columns, header, lines = lines_of(SCHEMAS["spot.klines"])
    fields = [[*line] for line in lines]
    fields[7][4] = spoilt
    source = put(tmp_path, archive, "\n".join(",".join(line) for line in fields))
    (refused,) = read_batches([source], schema_of(archive), exact=exact)
    assert isinstance(refused, Refused)
    assert (refused.error.line, refused.error.column) == (8, columns[4].published)
    assert refused.error.reason == reason
    assert not header


@pytest.mark.parametrize("spoilt", ["5" * 5_000, "\N{ARABIC-INDIC DIGIT FIVE}", "5_0", "+5"])
def test_a_first_time_that_is_none_is_named(spoilt: str, tmp_path: Path) -> None:
    archive, columns, _, lines = lines_of(SCHEMAS["spot.klines"])
    text = "\n".join(",".join(line) for line in [[spoilt, *lines[0][1:]], *lines[1:]])
    (refused,) = read_batches([put(tmp_path, archive, text)], schema_of(archive))
    assert isinstance(refused, Refused)
    assert (refused.error.line, refused.error.column) == (1, columns[0].published)
    assert len(str(refused.error)) < 300


def test_bytes_that_are_no_utf8_have_a_column(tmp_path: Path) -> None:
    archive, columns, _, lines = lines_of(SCHEMAS["futures_um.liquidation_snapshot"])
    text = "\n".join(",".join(line) for line in lines).encode()
    text = text.replace(lines[5][1].encode(), b"B\xff")
    assert lines[5][1].encode() not in text
    (refused,) = read_batches([put(tmp_path, archive, text)], schema_of(archive))
    assert isinstance(refused, Refused)
    assert refused.error.column == columns[1].published
    assert refused.error.reason == "`B\ufffd` is not UTF-8"


@pytest.mark.parametrize("line", [0, 1, 5, 6, 10, 11])
def test_the_first_of_several_faults_is_named(line: int) -> None:
    archive, columns, _, lines = lines_of(SCHEMAS["spot.klines"])
    fields = [[*each] for each in lines]
    for faulty in range(line, len(lines)):
        fields[faulty][3] = fields[faulty][5] = "x"
    text = "".join(",".join(each) + "\n" for each in fields).encode()
    found = first_fault(text, columns, "ms", archive, exact=False)
    assert found == (line, columns[3].published, "`x` is not a number")


@pytest.mark.parametrize("line", [1, 2, 12])
def test_a_byte_order_mark_begins_no_line(line: int, tmp_path: Path) -> None:
    archive, columns, _, lines = lines_of(SCHEMAS["spot.klines"])
    texts = [",".join(column.published for column in columns), *map(",".join, lines)]
    texts[line] = "\ufeff" + texts[line]
    (refused,) = read_batches([put(tmp_path, archive, "\n".join(texts))], schema_of(archive))
    assert isinstance(refused, Refused)
    assert (refused.error.line, refused.error.column) == (line + 1, columns[0].published)


def test_text_without_a_fault_has_none() -> None:
    archive, columns, _, lines = lines_of(SCHEMAS["spot.klines"])
    text = "".join(",".join(each) + "\n" for each in lines).encode()
    assert first_fault(text, columns, "ms", archive, exact=True) is None
    wanted = f"`{lines[0][0]}` is not in the unit of the file's first time, `us`"
    found = first_fault(text, columns, "us", archive, exact=True)
    assert found == (0, columns[0].published, wanted)
