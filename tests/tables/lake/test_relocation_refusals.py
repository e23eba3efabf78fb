"""A lake that cannot be relocated is refused by name, and stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tables.lake.conftest import KLINES, change_json, contents

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.avro_file import AvroFile
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.lake.relocation import relocate

MANIFESTS, LISTS = "*-m0.avro", "snap-*.avro"


def change_avro(pattern: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def changing(metadata: Path) -> None:
        for path in metadata.glob(pattern):
            file = AvroFile.read(path.read_bytes())
            for record in file.records[0]:
                change(record)
            path.write_bytes(file.encoded())

    return changing


def without_lists(plain: dict[str, Any]) -> None:
    for each in plain["snapshots"]:
        del each["manifest-list"]


def removed(pattern: str) -> Callable[[Path], None]:
    def removing(metadata: Path) -> None:
        for path in metadata.glob(pattern):
            path.unlink()

    return removing


def overwritten(pattern: str) -> Callable[[Path], None]:
    def overwriting(metadata: Path) -> None:
        for path in metadata.glob(pattern):
            path.write_text("[  ]")

    return overwriting


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            change_avro(MANIFESTS, lambda entry: entry["data_file"].update(content=1)),
            "names files of deleted rows",
        ),
        (
            change_avro(MANIFESTS, lambda entry: entry["data_file"].update(file_path="s3://b/x")),
            "names `s3://b/x`, which is not in the lake",
        ),
        (
            change_json(lambda plain: plain["properties"].update({"write.data.path": "file:///x"})),
            "properties that are not accepted, .*`write.data.path`",
        ),
        (
            change_json(without_lists),
            "has snapshots without a manifest list",
        ),
        (removed(MANIFESTS), "is not there; copy the lake again"),
        (removed(LISTS), "is not there; copy the lake again"),
        (overwritten(LISTS), "it is no Avro file"),
        (overwritten("*.metadata.json"), "is no metadata of a table"),
    ],
    ids=range(8),
)
def test_what_cannot_be_relocated_is_refused_by_name(
    copy: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    catalog = LakeCatalog(copy)
    metadata = copy / "warehouse" / "spot" / "klines" / "metadata"
    spoil(metadata)
    before = contents(metadata)
    with pytest.raises(LakeError, match=reason):
        relocate(catalog, [KLINES])
    assert contents(metadata) == before
    assert catalog.locations(KLINES)[0].startswith(f"file://{copy.parent}/original/")
    catalog.close()
