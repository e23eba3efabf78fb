"""The tables of the ledger in PostgreSQL, and the upgrade from each version to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.ledger.postgres.completeness import check_tables
from crypto_lakehouse.ledger.postgres.server import Server, lock_key

if TYPE_CHECKING:
    import psycopg

__all__ = ["SCHEMA_VERSION", "bring_up_to_date", "version_of"]

#: Increases with each change of the tables; a ledger of a later version is refused.
SCHEMA_VERSION = 2

#: Columns are those of the ledger in SQLite. Names are compared byte by byte, as there.
_VERSION_1 = """
CREATE TABLE schema_version (version integer NOT NULL);
INSERT INTO schema_version VALUES (0);
CREATE TABLE outputs (
    output_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE   -- the URL, or the id of a directory
);
CREATE TABLE archives (
    output_id integer NOT NULL,
    folder text COLLATE "C" NOT NULL,       -- key up to and with the last slash
    name text COLLATE "C" NOT NULL,
    verdict text NOT NULL,
    reason text NOT NULL,
    size_bytes bigint,
    mtime_ns bigint,                        -- mark of the stored file, when it was last proven
    sha256 text COLLATE "C",
    published_sha256 text COLLATE "C",
    etag text,
    last_modified text,
    first_seen_at text COLLATE "C" NOT NULL,  -- ISO 8601, UTC; of this version of the object
    last_seen_at text COLLATE "C" NOT NULL,
    sidecar_etag text,
    newer_verdict text,                     -- of a version that was not accepted
    newer_reason text,
    newer_etag text,
    newer_sidecar_etag text,
    accepted_at text,                       -- accepted by policy; never cleared
    PRIMARY KEY (output_id, folder, name)
);
CREATE TABLE parts (
    output_id integer NOT NULL,
    folder text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    etag text,
    last_modified text,
    size_bytes bigint,
    PRIMARY KEY (output_id, folder, name)
);
CREATE TABLE runs (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    output_id integer NOT NULL,
    run_id text NOT NULL,
    workflow text NOT NULL,
    planned bigint NOT NULL,
    started_at text NOT NULL,
    finished_at text,
    status text,
    selection text,                         -- canonical JSON
    source_url text,                        -- without credentials
    listing_url text,
    UNIQUE (output_id, run_id)
);
CREATE TABLE versions (                     -- what stood in `archives` before it changed
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    output_id integer NOT NULL,
    folder text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    change text NOT NULL,                   -- replaced: other bytes; restamped: other dates or ETags
    changed_at text COLLATE "C" NOT NULL,
    kept_as text,                           -- where the bytes are, relative to the output
    verdict text NOT NULL,
    size_bytes bigint,
    sha256 text,
    published_sha256 text,
    etag text,
    last_modified text,
    first_seen_at text NOT NULL,
    last_seen_at text NOT NULL
);
CREATE INDEX versions_by_key ON versions (output_id, folder, name, number);
CREATE INDEX versions_by_date ON versions (output_id, changed_at);
CREATE TABLE listings (                     -- what the source listed of a folder, last time
    output_id integer NOT NULL,
    folder text COLLATE "C" NOT NULL,
    first_name text,                        -- NULL where that end was never reached
    last_name text,
    archives bigint NOT NULL,
    size_bytes bigint NOT NULL,
    listed_at text NOT NULL,
    PRIMARY KEY (output_id, folder)
);
"""  # noqa: E501 - a comment

_VERSION_2 = """
CREATE TABLE set_aside (                    -- rows that no run writes, as they were
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    output_id integer NOT NULL,
    set_aside_at text NOT NULL,
    source text NOT NULL,                   -- the table that had the row
    content jsonb NOT NULL
);
CREATE TABLE fills (                        -- days that were asked for from the exchange
    output_id integer NOT NULL,
    folder text COLLATE "C" NOT NULL,       -- of the segment: key up to and with the last slash
    name text COLLATE "C" NOT NULL,
    verdict text NOT NULL,
    reason text NOT NULL,
    row_count bigint NOT NULL,
    sha256 text COLLATE "C",                -- of the segment; NULL where there is none
    complete integer NOT NULL,              -- 1: the day was over
    proven_by text NOT NULL,
    filled_at text NOT NULL,
    size_bytes bigint,
    mtime_ns bigint,                        -- of the stored segment, when it was last proven
    PRIMARY KEY (output_id, folder, name)
);
"""

#: The upgrade from version n to version n + 1, at index n.
_STEPS = (_VERSION_1, _VERSION_2)


def bring_up_to_date(connection: psycopg.Connection[Any], server: Server) -> None:
    """Create the tables, or upgrade them; of several runs that begin at once, one does it.

    Raises:
        LedgerError: They were made by a later version of the program.
        psycopg.Error: The server refuses.
    """
    if version_of(connection, server) == SCHEMA_VERSION:
        return
    key = lock_key("schema", server.schema)
    # Before the transaction: inside one, names that were absent before are not looked up again.
    connection.execute("SELECT pg_advisory_lock(%s)", [key])
    try:
        with connection.transaction():
            _upgrade(connection, server)
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", [key])


def _upgrade(connection: psycopg.Connection[Any], server: Server) -> None:
    version = version_of(connection, server)
    if version is None:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{server.schema}"')
    for step in _STEPS[version or 0 :]:
        connection.execute(step)
    connection.execute("UPDATE schema_version SET version = %s", [SCHEMA_VERSION])


def version_of(connection: psycopg.Connection[Any], server: Server) -> int | None:
    """Return the version of the tables; None if there are none.

    Raises:
        LedgerError: They were made by a later version of the program, or the table that has their
            version is damaged, or a table or a column of one is not there.
        psycopg.Error: The server refuses.
    """
    found = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL", [f'"{server.schema}".schema_version']
    ).fetchone()
    if found is None or not found[0]:
        return None
    version = _only_version(connection, server)
    if version > SCHEMA_VERSION:
        reason = (
            f"it was written by a later version of this program (schema {version}, this one knows "
            f"{SCHEMA_VERSION}) and is not changed; upgrade the program"
        )
        raise LedgerError(server.url, reason)
    if version == SCHEMA_VERSION:
        check_tables(connection, server, _STEPS)
    return version


def _only_version(connection: psycopg.Connection[Any], server: Server) -> int:
    """Read the one number in the table; 0 is never seen, as it is replaced before the commit."""
    rows = connection.execute("SELECT version FROM schema_version LIMIT 2").fetchall()
    versions = [row[0] for row in rows]
    if len(versions) == 1 and type(versions[0]) is int and versions[0] > 0:
        return versions[0]
    fault = "no row" if not versions else "more than one row"
    if len(versions) == 1:
        fault = f"the version `{shown(str(versions[0]))}`"
    reason = (
        f"the table `schema_version` in the schema `{server.schema}` has {fault}, so the tables "
        "are damaged, or those of another program: restore the table from a backup, or name "
        "another schema with `ledger_schema`"
    )
    raise LedgerError(server.url, reason)
