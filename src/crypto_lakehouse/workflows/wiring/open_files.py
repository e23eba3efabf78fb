"""How many files a process may have open at once, and how many of them may be connections."""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None

__all__ = ["connections_that_fit", "open_files_limit", "raise_open_files_limit"]

#: For all that is not a connection: ledger, lock, pipes of workers, the event loop's own files.
_OTHERS = 32

#: A connection with a large body writes a file while the previous file is read again.
_FOR_EACH_CONNECTION = 3


def open_files_limit() -> int | None:
    """How many files this process may have open; None if there is no limit."""
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else int(soft)


def connections_that_fit(wanted: int) -> int:
    """As many of the requested connections as this process may have open, and at least one."""
    limit = open_files_limit()
    if limit is None:
        return wanted
    return max(1, min(wanted, (limit - _OTHERS) // _FOR_EACH_CONNECTION))


def raise_open_files_limit(connections: int) -> None:
    """Raise the limit of open files to what so many connections need, as far as allowed.

    Only for processes that this package owns: the limit is that of the whole process.
    """
    needed = connections * _FOR_EACH_CONNECTION + _OTHERS
    limit = open_files_limit()
    if resource is None or limit is None or limit >= needed:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(OSError, ValueError):  # the system refuses; the limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
