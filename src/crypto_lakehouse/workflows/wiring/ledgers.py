"""Which ledger an output has."""

from __future__ import annotations

from crypto_lakehouse.core.config.rules import ledger_faults
from crypto_lakehouse.core.config.storage import StoreUrl, store_identity
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.sqlite_file import SqliteFile
from crypto_lakehouse.stores.output import Output

__all__ = ["ledger_at"]


def ledger_at(output: Output) -> LedgerPlace:
    """Return the place of an output's ledger: its own SQLite file, or a database that is shared.

    After `read_copy_if_lost` it may be a copy, in a temporary folder.

    Raises:
        ConfigurationError: The database's URL has a password or is not one, or the schema's name
            is wrong; no server is asked with such values.
    """
    config = output.config
    if config is None or config.ledger is None:
        if output.ledger_copy is not None:
            return SqliteFile(output.ledger_copy, output)
        return SqliteFile(output.state.ledger)
    if problems := [*ledger_faults(config.ledger, config.ledger_schema)]:
        raise ConfigurationError(problems)
    from crypto_lakehouse.ledger.postgres.identity import FileIdentity, UrlIdentity
    from crypto_lakehouse.ledger.postgres.place import PostgresPlace
    from crypto_lakehouse.ledger.postgres.server import Server

    server = Server(config.ledger, config.ledger_schema)
    if not output.is_url:
        return PostgresPlace(server, FileIdentity(output.state.output_id))
    identity = store_identity(StoreUrl.parse(output.place), config.storage)
    return PostgresPlace(server, UrlIdentity(identity), allows_many=True)
