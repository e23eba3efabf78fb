"""Relocate a lake at a URL, in a process that a test kills.

python -m tests.tables.at_url.killed_relocation URL STORAGE FOLDER
"""

from __future__ import annotations

import json
import sys

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.lake.copied_lake import relocate_lake


def main(url: str, storage: str, folder: str) -> None:
    relocate_lake(LakePlace.at_url(StoreUrl.parse(url), json.loads(storage), None, folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
