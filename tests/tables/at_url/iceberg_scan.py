"""Query a table of a lake in an object store by DuckDB's Iceberg extension; print the rows as JSON.

It runs in an environment that has the extensions, and not this package. Its arguments are the URL
of the table's metadata, the address of the store, and the query.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import duckdb


def main(metadata: str, endpoint: str, query: str) -> None:
    """Print the rows of a query, which knows the table as `witnessed`."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    for name in ("avro", "httpfs", "iceberg"):
        (folder,) = importlib.import_module(f"duckdb_extension_{name}").__path__
        (extension,) = Path(folder).rglob("*.duckdb_extension")
        connection.execute(f"LOAD '{extension}'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', "
        f"SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', REGION 'us-east-1', "
        f"ENDPOINT '{endpoint.removeprefix('http://')}', USE_SSL false, URL_STYLE 'path')"
    )
    connection.execute(f"CREATE VIEW witnessed AS FROM iceberg_scan('{metadata}')")
    json.dump(connection.sql(query).fetchall(), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
