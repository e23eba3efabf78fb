"""A process that is asked a question: it answers, ends without an answer, or waits for its end.

Started by `executors.processes.one_answer`.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path


def main() -> None:
    what, place = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent
    sys.stderr.write("a remark\n")
    if what == "answer":
        sys.stdout.buffer.write(
            pickle.dumps((place, sys.argv[1:], os.environ["CRYPTO_LAKEHOUSE_X"]))
        )
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "wait":
        Path(place).touch()
        sys.stdin.buffer.read()
        Path(place).unlink()


if __name__ == "__main__":
    main()
