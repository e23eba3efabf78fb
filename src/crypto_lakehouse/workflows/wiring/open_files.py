"""How many connections fit into the process's limit of open files."""

from __future__ import annotations

from crypto_lakehouse.stores.open_files import open_files_limit, raise_open_files_limit

__all__ = ["connections_that_fit", "make_room_for_connections"]

#: For all that is not a connection: ledger, lock, pipes of workers, the event loop's own files.
_OTHERS = 32

#: A connection with a large body writes a file while the previous file is read again.
_FOR_EACH_CONNECTION = 3


def connections_that_fit(wanted: int) -> int:
    """As many of the requested connections as this process may have open, and at least one."""
    limit = open_files_limit()
    if limit is None:
        return wanted
    return max(1, min(wanted, (limit - _OTHERS) // _FOR_EACH_CONNECTION))


def make_room_for_connections(connections: int) -> None:
    """Raise the limit of open files to what so many connections need, as far as allowed.

    Only for processes that this package owns: the limit is that of the whole process.
    """
    raise_open_files_limit(connections * _FOR_EACH_CONNECTION + _OTHERS)
