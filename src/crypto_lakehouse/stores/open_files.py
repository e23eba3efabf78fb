"""How many files this process may have open at once."""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None

__all__ = ["open_files_hint", "open_files_limit", "raise_open_files_limit"]


def open_files_limit() -> int | None:
    """How many files this process may have open; None if there is no limit."""
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else int(soft)


def open_files_hint() -> str:
    """Say what the limit is, and how to raise it."""
    return (
        f"this process may have only {open_files_limit()} files open at once; raise that with "
        "`ulimit -n 1024`, or as LimitNOFILE= of a service"
    )


def raise_open_files_limit(files: int) -> None:
    """Raise the limit to this many files, or as far as allowed.

    Only for processes that this package owns: the limit is that of the whole process.
    """
    limit = open_files_limit()
    if resource is None or limit is None or limit >= files:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    with suppress(OSError, ValueError):  # the system refuses; the limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
