"""What the user can do about an error of the operating system, wherever it occurs."""

from __future__ import annotations

import errno

__all__ = ["NOT_ALLOWED", "exit_code_of", "hint_for"]

_NO_ACCESS = "let this user read and write there"

_HINTS = {
    errno.ENOSPC: "free some space and run again (`df -i` shows whether inodes have run out)",
    errno.EDQUOT: "free some space or raise the quota, and run again",
    errno.EROFS: "make it writable",
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
    errno.EFBIG: "the file system, or the limit that `ulimit -f` shows, allows no file that large",
    errno.ENFILE: "too many files are open on this machine; close some and run again",
    errno.ENAMETOOLONG: "choose an output directory with a shorter path",
    errno.EEXIST: "something else is in its place; move that away and run again",
    errno.ENOENT: "a folder on its path is missing, or a symbolic link on its path is broken",
    errno.ELOOP: "a symbolic link is in its place; move the link away and run again",
    errno.EISDIR: "a folder is in its place; move the folder away and run again",
    errno.ENOTDIR: "a file is in the place of a folder; move the file away and run again",
}

#: Errors for a place that this user may not read or write: another place would do as well.
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def hint_for(
    error: OSError, instead: str = "choose another output directory", *, reads: bool = False
) -> str | None:
    """Return advice for an error of the operating system; None if there is none for its code.

    Args:
        error: The error.
        instead: What the user can do if the place cannot be written; empty if nothing else.
        reads: Whether the place was only read, so that another one is no remedy.
    """
    if reads and error.errno in {errno.EACCES, errno.EPERM}:
        return "let this user read it"
    hint = _HINTS.get(error.errno or 0)
    return f"{hint}, or {instead}" if hint and instead and error.errno in NOT_ALLOWED else hint


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of an error that ends a command: 2 if this user may not use a place."""
    return 2 if isinstance(error, OSError) and error.errno in NOT_ALLOWED else 1
