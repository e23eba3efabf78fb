"""The table of a lake's configuration keys in docs/configuration.md.

`python -m crypto_lakehouse.workflows.lake_docs [FILE]` rewrites it between its two markers.
"""

from __future__ import annotations

import sys
from functools import partial

from crypto_lakehouse.core.config import docs
from crypto_lakehouse.workflows.lake_config import lake_keys

__all__ = ["BEGIN", "with_lake_table"]

BEGIN = "<!-- lake keys: written by `python -m crypto_lakehouse.workflows.lake_docs` -->"

#: Returns a page with the current table between its markers.
with_lake_table = partial(docs.with_table, keys=lake_keys(), begin=BEGIN)


if __name__ == "__main__":
    docs.main(sys.argv[1:], with_lake_table)
