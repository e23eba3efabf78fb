"""Run a workflow until it ends, or a signal ends it."""

from __future__ import annotations

import os
import signal
from typing import Any

import anyio
import click

__all__ = ["run_until_signal"]


async def run_until_signal(workflow: Any, words: str) -> Any:
    """Run a workflow; the first SIGINT or SIGTERM stops it in order, the second at once.

    Args:
        workflow: It has `run()` and `stop(exit_code)`.
        words: The message when it is stopped.

    Returns:
        Its metrics.
    """
    from crypto_lakehouse.core.task_groups import one_error

    with one_error():
        async with anyio.create_task_group() as tasks:
            await tasks.start(_stop_on_signal, workflow, words)
            metrics = await workflow.run()
            tasks.cancel_scope.cancel()
    return metrics


async def _stop_on_signal(
    workflow: Any,
    words: str,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        stopping = False
        async for number in signals:
            if stopping:
                os._exit(128 + number)
            stopping = True
            click.echo(f"{words} (again to stop at once)", err=True)
            workflow.stop(128 + number)
