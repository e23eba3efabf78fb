"""Standard streams that are closed, or lead to where nothing can be written."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["give_up_stdout", "give_up_unwritable", "open_standard_streams"]


def open_standard_streams() -> None:
    """Let closed standard streams lead to nowhere.

    Otherwise the next file that is opened, which may be the ledger, would have the number of
    standard error, and be written to by whoever writes there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(nowhere, True)
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def give_up_stdout() -> None:
    """Let what is still to be written to standard output go nowhere, so that ending is quiet."""
    _give_up(sys.stdout)


def give_up_unwritable() -> None:
    """Write what is held back, or else drop it: Python would end with a code of its own, 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _give_up(stream)


def _give_up(stream: TextIO) -> None:
    with suppress(OSError, ValueError):  # it may be no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
