"""Ingest a tree into a lake at a URL, in a process that a test kills.

python -m tests.tables.at_url.killed_ingest URL STORAGE FOLDER TREE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.tables.at_url.lakes import LakeAtUrl
from tests.tables.ingest.killed_ingest import sources_of

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace


def main(url: str, storage: str, folder: str, tree: str) -> None:
    place = LakePlace.at_url(StoreUrl.parse(url), json.loads(storage))
    assert place.client is not None
    LakeAtUrl(place.client, Path(folder)).ingest(sources_of(Path(tree)))


if __name__ == "__main__":
    main(*sys.argv[1:])
