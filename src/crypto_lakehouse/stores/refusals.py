"""The operating system's refusals, as errors of ours."""

from __future__ import annotations

import errno

from crypto_lakehouse.core.errors import StoreError

__all__ = ["refusals"]

#: Errors that every other file would meet too.
_STOPS_RUN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

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
    errno.EISDIR: "a folder is in its place; move that away and run again",
    errno.ENOTDIR: "a file is in the place of a folder; move that away and run again",
}


class refusals:  # noqa: N801 - reads as a statement; a class, as it is on the hot path
    """Turn the operating system's refusals into ours; `stops_run` are those that all would meet."""

    __slots__ = ("path", "stops_run")

    def __init__(self, path: str, stops_run: frozenset[int] = _STOPS_RUN) -> None:
        self.path = path
        self.stops_run = stops_run

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            hint = _HINTS.get(error.errno or 0)
            stops_run = error.errno in self.stops_run
            text = f"{reason}; {hint}" if hint else reason
            raise StoreError(self.path, text, stops_run=stops_run) from error
