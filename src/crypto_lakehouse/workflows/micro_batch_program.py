"""The program of a process that brings a recording's segments into tables, and then ends.

`python -m crypto_lakehouse.workflows.micro_batch_program`; it is started by `micro_batches`. It
ends when its input ends, as it does if the recording is killed.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import threading
from contextlib import suppress
from typing import IO

import anyio

from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.executors.processes.private_pipes import private_pipes
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows.micro_batch import (
    BatchRequest,
    BatchResult,
    MicroBatchWorkflow,
    check_lake,
    run_micro_batch,
)

__all__ = ["main"]

#: How long an ingestion may take to end once its input has ended, in seconds. It can be killed at
#: any time: the next one completes what it began.
_END_WITHIN_S = 30.0

#: How much this process gives way to the recording, whose messages must not wait.
_NICENESS = 10


def main() -> int:
    """Answer one question, and end."""
    questions, out = private_pipes()
    try:
        request: BatchRequest = pickle.load(questions)  # noqa: S301 - from the parent
    except (EOFError, pickle.UnpicklingError):  # the recording ended before it asked
        return 0
    if os.getppid() != request.parent:
        return 0
    _give_way()
    with suppress(BrokenPipeError), out:  # the recording is gone
        out.write(pickle.dumps(_answer(request, questions), pickle.HIGHEST_PROTOCOL))
    return 0


def _give_way() -> None:
    """Leave the processor to the recording: the libraries use one core, and that after it."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(_NICENESS)


def _answer(request: BatchRequest, questions: IO[bytes]) -> BatchResult:
    config = request.config
    try:
        with naming_origins(config):
            output = output_of(request.output)
            if request.only_checks:
                check_lake(config, output)
                return BatchResult()
    except LakehouseError as error:
        return BatchResult(error=error)
    workflow = MicroBatchWorkflow(config, output=output, segments=request.segments)
    return anyio.run(_run, workflow, questions)


async def _run(workflow: MicroBatchWorkflow, questions: IO[bytes]) -> BatchResult:
    loop = asyncio.get_running_loop()

    def end() -> None:
        questions.read()
        with suppress(RuntimeError):  # the loop is closed: it has ended
            loop.call_soon_threadsafe(workflow.stop)
        late = threading.Timer(_END_WITHIN_S, os._exit, [1])
        late.daemon = True
        late.start()

    threading.Thread(target=end, name="end of input", daemon=True).start()
    return await run_micro_batch(workflow)


if __name__ == "__main__":
    sys.exit(main())
