"""Which metadata of a table an embedded lake accepts: none that leads out of the table's folder.

The metadata is a file like any other, and may come with a lake of unknown origin. pyiceberg
takes a table's properties for settings: of the file access (`py-io-impl`, `s3.endpoint`), of where
files are written, and of modules to import. Only the names below are accepted.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.core.messages import shown, some_of
from crypto_lakehouse.tables.iceberg.damage import BUILD_AGAIN
from crypto_lakehouse.tables.iceberg.local_io import WAREHOUSE, path_in_lake

__all__ = ["check_metadata", "check_rows"]

#: What Iceberg, its engines and this program set, and what does not say how files are accessed.
_ACCEPTED = frozenset(
    {"comment", "created-at", "crypto-lakehouse.exact", "format-version", "gc.enabled", "owner"}
)
_ACCEPTED_BEGINNINGS = ("commit.", "history.", "read.", "schema.", "write.")

#: The name of a module or class to import.
_CODE = ".impl"

#: A location that files are written to.
_PLACE = ".path"

#: Properties that pyiceberg parses when it writes, and those of columns, and what it accepts.
_WHOLE_NUMBERS = frozenset(
    {
        "commit.manifest.min-count-to-merge", "commit.manifest.target-size-bytes",
        "commit.retry.max-wait-ms", "commit.retry.min-wait-ms", "commit.retry.num-retries",
        "commit.retry.total-timeout-ms", "write.metadata.previous-versions-max",
        "write.summary.partition-limit",
    }
)  # fmt: skip
_FLAGS = frozenset(
    {
        "commit.manifest-merge.enabled", "write.metadata.delete-after-commit.enabled",
        "write.object-storage.enabled", "write.object-storage.partitioned-paths",
    }
)  # fmt: skip
_METRICS = ("write.metadata.metrics.default", "write.metadata.metrics.column.")
_NAMES = "schema.name-mapping.default"

_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
_FLAG = re.compile(r"true|t|yes|y|on|1|false|f|no|n|off|0", re.IGNORECASE)
_METRICS_MODE = re.compile(r"none|counts|full|truncate\([1-9][0-9]{0,8}\)", re.IGNORECASE)


def check_metadata(root: str, table: str, location: str, properties: Mapping[str, str]) -> None:
    """Refuse metadata that decides how or where files are read or written.

    Args:
        root: The lake's directory.
        table: The table's full name.
        location: The location of the table's folder.
        properties: The table's properties.

    Raises:
        LakeError: The table is in another folder than its own, or has a property or a value that
            is not accepted.
    """
    folder = path_in_lake(location, root).rstrip("/")
    own = f"{root}/{WAREHOUSE}/{'/'.join(table.rsplit('.', 1))}"
    if folder != own:
        reason = f"table `{table}`: its metadata names the folder `{folder}` instead of `{own}`"
        raise LakeError(root, f"{reason}; {BUILD_AGAIN}")
    wrong = [
        key for key, value in sorted(properties.items()) if not _is_accepted(key, value, location)
    ]
    if wrong:
        reason = (
            f"table `{table}`: its metadata has properties that are not accepted, because they may "
            f"lead out of the lake or run code: {some_of(wrong, 5)}; remove "
            "them with the program that set them"
        )
        raise LakeError(root, f"{reason}, or {BUILD_AGAIN}")
    for key, value in sorted(properties.items()):
        if fault := _value_fault(key, value):
            reason = f"table `{table}`: its property `{key}` is `{shown(value)}`, which is {fault}"
            remedy = f"correct it with the program that set it, or {BUILD_AGAIN}"
            raise LakeError(root, f"{reason}; {remedy}")


def _value_fault(key: str, value: str) -> str:
    """Say why a value is impossible; empty if it is not, or if pyiceberg does not parse it."""
    if key in _WHOLE_NUMBERS | _FLAGS and not value:  # as if it were not set
        return ""
    if key in _WHOLE_NUMBERS:
        return "" if _WHOLE_NUMBER.fullmatch(value) else "not a whole number"
    if key in _FLAGS:
        return "" if _FLAG.fullmatch(value) else "neither `true` nor `false`"
    if key.startswith(_METRICS):
        is_mode = _METRICS_MODE.fullmatch(value.strip())
        return "" if is_mode else "not one of none, counts, full and truncate(N)"
    if key == _NAMES:
        try:
            return "" if isinstance(json.loads(value), list) else "not a list of names in JSON"
        except ValueError:
            return "not a list of names in JSON"
    return ""


def check_rows(catalog: Path, root: str) -> None:
    """Refuse an embedded catalog in which a table has no name, or no metadata in the lake.

    Args:
        catalog: The file of the catalog.
        root: The lake's directory.

    Raises:
        LakeError: The catalog has such a row.
        sqlite3.Error: It cannot be read.
    """
    if not catalog.is_file():
        return
    with closing(sqlite3.connect(f"{catalog.as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda data: data.decode(errors="replace")
        there = "SELECT count(*) FROM sqlite_schema WHERE name = 'iceberg_tables'"
        if not connection.execute(there).fetchone()[0]:
            return
        query = "SELECT table_namespace, table_name, metadata_location FROM iceberg_tables"
        rows = connection.execute(query).fetchall()
    for namespace, name, location in rows:
        what = f"the row of table `{shown(namespace)}.{shown(name)}` in `{catalog.name}`"
        if not all(isinstance(each, str) and each.strip() for each in (namespace, name)):
            reason = f"{what} has no name that is text"
        elif not isinstance(location, str) or f"/{WAREHOUSE}/" not in location:
            reason = f"{what} has the metadata location `{shown(location)}`, which is not in the"
            reason += " lake and is not read"
        else:
            continue
        raise LakeError(root, f"{reason}; {BUILD_AGAIN}")


def _is_accepted(key: str, value: str, location: str) -> bool:
    if key.endswith(_PLACE):
        below = value.removeprefix(f"{location.rstrip('/')}/")
        return key.startswith("write.") and below != value and ".." not in below.split("/")
    if key in _ACCEPTED:
        return True
    return key.startswith(_ACCEPTED_BEGINNINGS) and not key.endswith(_CODE)
