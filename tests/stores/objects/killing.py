"""Kills a client at one of its requests to the store."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from queue import Queue

from tests.services.fault_proxy import Answer, Fault, Forward, Request

__all__ = ["killing"]


def killing(
    matches: Callable[[Request], bool], nth: int, pids: Queue[int], *, is_done: bool
) -> Fault:
    """Return what kills the client at the n-th of some requests.

    Args:
        matches: Whether a request is one of these.
        nth: Which of them, counted from 1.
        pids: Has the process id of the client.
        is_done: Whether the server does what was asked before that.
    """
    count = 0

    def fault(request: Request, forward: Forward) -> Answer | None:
        nonlocal count
        if not matches(request):
            return forward()
        count += 1
        if count != nth:
            return forward()
        if is_done:
            forward()
        os.kill(pids.get(), signal.SIGKILL)
        return None

    return fault
