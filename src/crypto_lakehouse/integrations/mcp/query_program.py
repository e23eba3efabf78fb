"""The program of a process that answers one query, and then ends.

`python -m crypto_lakehouse.integrations.mcp.query_program`; it is started by `table_tools`. It ends
when its input ends, or, on Linux, when the server is killed.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
from contextlib import suppress
from typing import IO

from crypto_lakehouse.core.visible import json_text
from crypto_lakehouse.executors.processes.private_pipes import private_pipes
from crypto_lakehouse.integrations.mcp.bounded_query import BoundedQuery

__all__ = ["main"]

#: Linux's number of "send me this signal when my parent ends".
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Answer one query, and end."""
    questions, out = private_pipes()
    if sys.platform == "linux":
        # A thread of Python, which waits for the end of the input, may not get its turn.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        asked: BoundedQuery = pickle.load(questions)  # noqa: S301 - from the parent
    except (EOFError, pickle.UnpicklingError):  # the server ended before it asked
        return 0
    if os.getppid() != asked.parent:
        return 0
    threading.Thread(target=_end, args=(questions,), name="end of input", daemon=True).start()
    with suppress(BrokenPipeError), out:  # the server is gone
        out.write(json_text(asked.outcome()).encode())
    return 0


def _end(questions: IO[bytes]) -> None:
    """End this process when its input ends, whatever it does."""
    questions.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
