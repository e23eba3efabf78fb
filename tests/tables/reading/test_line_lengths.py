"""A line with another number of fields is refused in every table."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tables.reading.test_refusals import read
from tests.tables.sample_data import archive_of, every_schema, put, text_of

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
