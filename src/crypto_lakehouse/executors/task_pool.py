"""Work of any kind on the workers of an executor; a thread hands it out and takes the answers."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any

import anyio
from anyio import from_thread
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from crypto_lakehouse.core.events import RunWarned
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.executors.shards import Shard, ShardExecutor, ShardLost, settle_shard

__all__ = ["Answer", "Lost", "Task", "TaskPool", "open_pool"]

_log = logging.getLogger("crypto_lakehouse")

#: How long a thread waits for answers before it looks whether the run has ended, in seconds.
_LOOK_EVERY_S = 0.2


@frozen
class Task:
    """A piece of work: what the settler of the workers takes."""

    number: int
    content: Any


@frozen
class Answer:
    """The result of a piece of work; the settler of the workers returns it."""

    number: int
    content: Any


@frozen
class Lost:
    """In place of a result: each worker that had the work has ended.

    Attributes:
        reason: Why the last one ended.
    """

    reason: str


@define(eq=False)
class TaskPool:
    """Gives tasks to an executor; made by `open_pool`.

    Attributes:
        warnings: What the run is warned of, such as workers that are refused.
        losses: How many tasks were lost with a worker, and assigned again.
    """

    _tasks: TaskGroup
    warnings: list[str] = field(init=False, factory=list)
    losses: int = field(init=False, default=0)
    _executor: ShardExecutor = field(init=False)
    _room: anyio.Semaphore = field(init=False)
    _numbers: Iterator[int] = field(init=False, factory=count)
    _alone: anyio.Lock = field(init=False, factory=anyio.Lock)
    _answers: deque[Answer] = field(init=False, factory=deque)
    _answered: anyio.Event = field(init=False, factory=anyio.Event)

    def begin(self, executor: ShardExecutor) -> None:
        """Use an executor, whose events go to `emit`."""
        self._executor, self._room = executor, anyio.Semaphore(executor.slots)

    async def emit(self, events: Sequence[Any]) -> None:
        """Take the answers of workers."""
        for event in events:
            if isinstance(event, Answer):
                self._answers.append(event)
            elif isinstance(event, RunWarned):
                self.warnings.append(event.message)
                _log.warning("%s", event.message)
        self._answered.set()

    async def put(self, contents: Sequence[Any]) -> list[int]:
        """Assign some work together, once a worker may take it; return the numbers of its tasks."""
        await self._room.acquire()
        tasks = [Task(next(self._numbers), each) for each in contents]
        self._tasks.start_soon(self._settle, tasks)
        return [task.number for task in tasks]

    async def _settle(self, tasks: list[Task]) -> None:
        try:
            await settle_shard(Shard(tasks[0].number, tasks), self._assign, self._alone, self._fail)
        finally:
            self._room.release()

    async def _fail(self, task: Task, reason: str) -> None:
        await self.emit([Answer(task.number, Lost(reason))])

    async def _assign(self, shard: Shard) -> None:
        try:
            await self._executor.settle(shard)
        except ShardLost as lost:
            self.losses += len(lost.left)
            raise

    async def take(self, within_s: float = math.inf) -> list[Answer]:
        """Return the answers that have come; none if no answer comes within a time."""
        with anyio.move_on_after(within_s):
            while not self._answers:
                self._answered = anyio.Event()
                await self._answered.wait()
        found = [*self._answers]
        self._answers.clear()
        return found

    def run(self, work: Iterator[Any], check: Callable[[], None]) -> Iterator[tuple[Any, Any]]:
        """Settle work from a worker thread of anyio; blocking.

        Args:
            work: What to settle, taken as workers become free.
            check: Called regularly; may raise to cancel.

        Yields:
            Each piece of work and its result, as they end; the result is `Lost` if the work ended
            every worker that had it.
        """
        under_way: dict[int, Any] = {}
        is_left = True
        while is_left or under_way:
            check()
            while is_left and (self._room.value or not under_way):
                content = next(work, None)
                is_left = content is not None
                if is_left:
                    (number,) = from_thread.run(self.put, [content])
                    under_way[number] = content
            for answer in from_thread.run(self.take, _LOOK_EVERY_S) if under_way else ():
                yield under_way.pop(answer.number), answer.content


@asynccontextmanager
async def open_pool(
    open_executor: Callable[[Emit], AbstractAsyncContextManager[ShardExecutor]],
) -> AsyncIterator[TaskPool]:
    """Open an executor for tasks; what is not settled at the end is cancelled.

    Raises:
        ClusterError: The cluster cannot work.
        WorkerError: Workers end as soon as they are started.
    """
    failure = None
    with one_error():
        async with anyio.create_task_group() as tasks:
            pool = TaskPool(tasks)
            async with open_executor(pool.emit) as executor:
                pool.begin(executor)
                try:
                    yield pool
                except Exception as error:  # noqa: BLE001 - raised below, not in a group
                    failure = error
                finally:
                    tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
