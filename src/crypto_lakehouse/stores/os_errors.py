"""Turn errors of the operating system into `StoreError`, with advice."""

from __future__ import annotations

import errno

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.protocols import PART_SUFFIX
from crypto_lakehouse.stores.open_files import open_files_hint

__all__ = ["NOT_ALLOWED", "REFUSALS", "STOPS_RUN", "as_store_errors", "what_to_do"]

#: Errors that would occur for every other file, too.
STOPS_RUN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

#: Errors for a place that this user may not read or write.
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

#: Errors that are never a fault in this program, wherever they are raised.
REFUSALS = STOPS_RUN | NOT_ALLOWED | {errno.EFBIG}

#: What the user can do about an error.
_HINTS = {
    errno.ENOSPC: "free some space and run again (`df -i` shows whether inodes have run out)",
    errno.EDQUOT: "free some space or raise the quota, and run again",
    errno.EROFS: "make it writable, or choose another output directory",
    errno.EACCES: "let this user read and write there, or choose another output directory",
    errno.EPERM: "let this user read and write there, or choose another output directory",
    errno.EFBIG: "the file system, or the limit that `ulimit -f` shows, allows no file that large",
    errno.ENFILE: "too many files are open on this machine; close some and run again",
    errno.ENAMETOOLONG: "choose an output directory with a shorter path",
    errno.EEXIST: "something else is in its place; move that away and run again",
    errno.ENOENT: "a folder on its path is missing, or a symbolic link on its path is broken",
    errno.ELOOP: "a symbolic link is in its place; move the link away and run again",
    errno.EISDIR: "a folder is in its place; move the folder away and run again",
    errno.ENOTDIR: "a file is in the place of a folder; move the file away and run again",
}


def what_to_do(error: OSError, path: str) -> str:
    """Say what failed, for which file if it is not `path`, and what to do about it."""
    reason = error.strerror or str(error)
    name = error.filename
    if name and name not in {path, path + PART_SUFFIX}:
        reason += f": `{name}`"
    hint = open_files_hint() if error.errno == errno.EMFILE else _HINTS.get(error.errno or 0)
    return f"{reason}; {hint}" if hint else reason


class as_store_errors:  # noqa: N801 - reads as a statement; a class, as it is on the hot path
    """Raise StoreError for OSError; the codes in `stops_run` end the whole run.

    A name that the locale cannot encode is a StoreError, too.
    """

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
        if isinstance(error, UnicodeEncodeError):
            reason = (
                f"the name cannot be encoded as {error.encoding}, the encoding of file names in "
                "this process; set the variable PYTHONUTF8=1 before Python starts"
            )
            raise StoreError(self.path, reason) from error
