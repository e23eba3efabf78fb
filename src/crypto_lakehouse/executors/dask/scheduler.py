"""Questions to the scheduler of a cluster, which may be gone or frozen."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from crypto_lakehouse.core.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["SchedulerSilent", "allowed_failures", "answer_of", "scheduler_gone"]

#: How long the scheduler may take to answer, in seconds: a machine that is frozen answers nothing,
#: and does not close its connections either.
ANSWERS_WITHIN_S = 60.0

_T = TypeVar("_T")


class SchedulerSilent(ClusterError):
    """The scheduler has not answered for so long that the run ends."""


async def answer_of(client: Client, question: Awaitable[_T]) -> _T:
    """Wait for an answer of the scheduler.

    Args:
        client: Reaches the scheduler.
        question: The call.

    Raises:
        ClusterError: The scheduler is gone.
        SchedulerSilent: It does not answer.
    """
    try:
        with anyio.fail_after(ANSWERS_WITHIN_S):
            return await question
    except TimeoutError:
        raise SchedulerSilent(
            f"the Dask scheduler {client.scheduler.address} has not answered for "
            f"{ANSWERS_WITHIN_S:g} seconds",
            exit_code=5,
        ) from None
    except (OSError, RuntimeError) as error:
        raise scheduler_gone(client, error) from error


async def allowed_failures(client: Client) -> int:
    """Return how many workers may end by a task before the scheduler gives it up.

    Raises:
        ClusterError: The scheduler is gone, or does not answer.
    """

    def read(dask_scheduler: Any) -> int:  # sent by value: the scheduler has no such module
        return int(dask_scheduler.allowed_failures)

    return int(await answer_of(client, client.run_on_scheduler(read)))


def scheduler_gone(client: Client, error: object = "") -> ClusterError:
    """Return the error of a run whose scheduler is gone."""
    address = getattr(client.scheduler, "address", "")
    reason = (
        f"the Dask scheduler {address} cannot be reached any more{f': {error}' if error else ''}"
    )
    return ClusterError(reason, exit_code=5)
