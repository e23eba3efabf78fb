"""Python imports this at its start, where its folder is on the path: it ends with `kill -9`.

`DOOM` says when: at which call of which function, before it or behind it. Where the process is a
worker, the run's own process is killed with it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from functools import wraps
from typing import Any


def _die() -> None:
    if "crypto_lakehouse.workflows.wiring.worker_program" in sys.orig_argv:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _doom(target: str, nth: int, contains: str = "", *, is_after: bool = False) -> None:
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for attribute in owners:
        owner = getattr(owner, attribute)
    function = getattr(owner, name)
    calls = 0

    @wraps(function)
    def doomed(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += contains in repr(arguments)
        is_due = calls == nth
        if is_due and not is_after:
            _die()
        result = function(*arguments, **options)
        if is_due:
            _die()
        return result

    setattr(owner, name, doomed)


if "DOOM" in os.environ:
    ledger = importlib.import_module("crypto_lakehouse.sinks.ledger")
    ledger.BATCH_ROWS = 4  # type: ignore[attr-defined]
    _doom(**json.loads(os.environ["DOOM"]))
