"""The pipes of a child process, taken away from everything else in it."""

from __future__ import annotations

import os
import sys
from typing import IO

__all__ = ["private_pipes"]


def private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return what the parent sends, and what it reads; other output goes to standard error.

    If that is closed, other output goes nowhere.
    """
    # Not `sys.stdin`: Python ends with a fatal error if a thread still reads from it.
    questions = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    elsewhere = os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()
    os.dup2(elsewhere, sys.stdout.fileno())
    return questions, out
