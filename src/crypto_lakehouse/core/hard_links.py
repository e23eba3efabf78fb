"""Files with several names: a write into one of them in place changes all of them."""

from __future__ import annotations

import os
import stat

from crypto_lakehouse.core.messages import plural

__all__ = ["link_fault"]


def link_fault(path: str | os.PathLike[str]) -> str:
    """Say why a file of this package must not be written in place, and what to do; blocking.

    Symbolic links and directories are not judged here.

    Args:
        path: The file; it need not exist.

    Returns:
        The fault and the remedy; empty if there is none.
    """
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return ""
    if stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return ""
    name = os.fspath(path)
    if not stat.S_ISREG(found.st_mode):
        return f"`{name}` is not a regular file; move it away and run again"
    if found.st_nlink > 1:
        names = plural(found.st_nlink, "name")
        return (
            f"`{name}` is a file with {names}, hard links as `cp -al` makes them, "
            "and would change under each of them; give it bytes of its own while nothing runs "
            f"here: `cp -p {name} {name}.new`, then `mv {name}.new {name}`"
        )
    return ""
