"""File names in UTF-8, whatever the locale says."""

from __future__ import annotations

import os
import sys

__all__ = ["restart_in_utf8_mode"]

_UTF8_MODE = "PYTHONUTF8"


def restart_in_utf8_mode() -> None:
    """Replace this process by one with the same arguments, if its file names are not UTF-8.

    Published symbols are UTF-8, and so are the names of their files, on every machine. Python takes
    the encoding of names and arguments from the locale when it starts, and cannot change it later.
    The standard streams keep the encoding of the locale.

    Source: docs.python.org/3/library/os.html#python-utf-8-mode
    """
    is_tried = os.environ.get(_UTF8_MODE) == "1"
    if is_tried or sys.getfilesystemencoding() == "utf-8" or os.name != "posix":
        return
    encoding = next(
        (each.encoding for each in (sys.stdout, sys.stderr, sys.stdin) if each), "utf-8"
    )
    environment = {"PYTHONIOENCODING": encoding, **os.environ, _UTF8_MODE: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
