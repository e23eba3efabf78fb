"""How the events of a run reach its sinks and its ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio
from attrs import frozen

from crypto_lakehouse.collection.event_queue import CLOSE_WITHIN_S, GATHER_S, EventQueue
from crypto_lakehouse.core.events import RunFinished
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.sinks.ledger import BATCH_ROWS

__all__ = ["Delivery"]


@frozen(kw_only=True)
class Delivery:
    """When events are passed on, and how long a stopped run waits for that.

    Attributes:
        gather_s: For how many seconds events are gathered before the sinks get them.
        batch_rows: How many rows one transaction of the ledger takes.
        drain_s: How long a run that was stopped may take to deliver its events, in seconds.
        close_within_s: How long each sink may take to close after that, in seconds.
    """

    gather_s: float = GATHER_S
    batch_rows: int = BATCH_ROWS
    drain_s: float = 1.5
    close_within_s: float = CLOSE_WITHIN_S

    async def run(
        self,
        work: Callable[[Emit], Awaitable[None]],
        sinks: Iterable[Sink],
        last_event: Callable[[], RunFinished],
        *,
        is_urgent: Callable[[], bool],
    ) -> None:
        """Do the work of a run, and deliver its events until the last one.

        Args:
            work: Called with what takes its events.
            sinks: Receive them.
            last_event: Returns the event that follows all others, when the work has ended.
            is_urgent: Whether the run was stopped, so that delivery must end soon; asked once the
                work has ended. It must also end soon if the work raises an error.
        """
        queue = EventQueue(
            [*sinks], last_event, gather_s=self.gather_s, close_within_s=self.close_within_s
        )
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(queue.run)
                try:
                    await work(queue.emit)
                except BaseException:
                    queue.deadline_in(self.drain_s)
                    raise
                finally:
                    if is_urgent():
                        queue.deadline_in(self.drain_s)
                    queue.finish()
