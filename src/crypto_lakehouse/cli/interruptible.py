"""Run work that a library does for a long time, so that Ctrl-C and SIGTERM end it at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = ["run_interruptible"]

#: Python calls the handler of a signal between two steps of the main thread. On Windows a wait is
#: one such step, so it is cut into pieces.
_PIECE_S = 0.2

#: How often work is asked to end, and how long it has after each time: a second in all.
_REQUESTS, _PAUSE_S = 20, 0.05


def run_interruptible(work: Callable[[], None], interrupt: Callable[[], None]) -> None:
    """Run `work` in a thread, and wait for it; raise what it raises.

    Python calls no signal handler while a library computes in the main thread.

    Args:
        work: What to run.
        interrupt: Makes `work` end early; it may be called several times.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, and `work` has ended.
        SystemExit: SIGTERM was received, and `work` has ended. If it does not end within a second,
            as if it writes into a pipe that is not read, the process ends.
    """
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised again by the caller's thread
            errors.append(error)
        finally:
            done.set()

    try:
        threading.Thread(target=run, name="work", daemon=True).start()
        while not done.wait(_PIECE_S):
            pass
    except (KeyboardInterrupt, SystemExit) as signalled:
        for _ in range(_REQUESTS):
            interrupt()  # once is not enough: between two statements there is nothing to interrupt
            if done.wait(_PAUSE_S):
                raise
        os._exit(130 if isinstance(signalled, KeyboardInterrupt) else 143)
    if errors:
        raise errors[0]
