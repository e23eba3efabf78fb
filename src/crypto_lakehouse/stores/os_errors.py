"""The operating system's refusals, as errors of ours."""

from __future__ import annotations

import errno

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.protocols import PART_SUFFIX

__all__ = ["STOPS_RUN", "as_store_errors", "what_to_do"]

#: Errors that every other file would meet too.
STOPS_RUN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

#: What to do about it.
_HINTS = {
    errno.ENOSPC: "free some space and run again (`df -i` tells whether names are lacking)",
    errno.EDQUOT: "free some space, or have the quota raised, and run again",
    errno.EROFS: "make it writable, or choose another output directory",
    errno.EACCES: "let this user read and write there, or choose another output directory",
    errno.EPERM: "let this user read and write there, or choose another output directory",
    errno.EFBIG: "the file system, or the limit that `ulimit -f` shows, takes no file of that size",
    errno.EMFILE: "raise the limit that `ulimit -n` shows, and run again",
    errno.ENFILE: "the machine has too many files open; run again when it has fewer",
    errno.ENAMETOOLONG: "choose an output directory with a shorter path",
    errno.EEXIST: "something else is in its place; move that away and run again",
    errno.ENOENT: "a folder on the way to it is gone, or a link on that way leads nowhere",
    errno.ELOOP: "a symbolic link is in its place; move that away and run again",
    errno.EISDIR: "a folder is in its place; move that away and run again",
    errno.ENOTDIR: "a file is in the place of a folder; move that away and run again",
}


def what_to_do(error: OSError, path: str) -> str:
    """Say what was refused, of which file if it is not at `path`, and what to do about it."""
    reason = error.strerror or str(error)
    name = error.filename
    if name and name not in {path, path + PART_SUFFIX}:
        reason += f": `{name}`"
    hint = _HINTS.get(error.errno or 0)
    return f"{reason}; {hint}" if hint else reason


class as_store_errors:  # noqa: N801 - reads as a statement; a class, as it is on the hot path
    """Turn the operating system's refusals into ours; `stops_run` are those that all would meet."""

    __slots__ = ("path", "stops_run")

    def __init__(self, path: str, stops_run: frozenset[int] = STOPS_RUN) -> None:
        self.path = path
        self.stops_run = stops_run

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            stops_run = error.errno in self.stops_run
            raise StoreError(
                self.path, what_to_do(error, self.path), stops_run=stops_run
            ) from error
