"""A step that is run again if it failed, and that waits for others with the same lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import anyio

from crypto_lakehouse.core.config.pipelines import Retry
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.workflow import BaseWorkflow, Outcome, RunConfig

__all__ = ["Attempts"]

#: The exit codes that time may cure: something unforeseen, a source, store or server that is not
#: there, and a lock that another run holds.
_CURABLE = frozenset({1, 5, 11})


class Attempts(BaseWorkflow[Outcome]):
    """Runs a workflow, and runs it again after a pause if it failed with what time may cure.

    It has failed if it ended by such an error, or if its report says `failed`: nothing was
    collected, or nothing was filled. If only some archives are missing, failed or corrupt, that is
    no failure: the next run of the pipeline asks for them.

    Args:
        config: That of the workflow.
        make: Makes the workflow of an attempt.
        retry: How often, and after what pause.
        turn: Returns what is held during an attempt, and not during a pause.
        tell: Called before each pause with a sentence.
        sleep: Pauses; a parameter for tests.
    """

    name: ClassVar[str] = "attempts"

    def __init__(
        self,
        config: RunConfig,
        make: Callable[[], BaseWorkflow[Any]],
        retry: Retry,
        turn: Callable[[], AbstractAsyncContextManager[object]],
        tell: Callable[[str], None],
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        super().__init__(config)
        self._make, self._retry, self._turn = make, retry, turn
        self._tell, self._sleep = tell, sleep
        self._outcome: Outcome
        self._failure: LakehouseError | None = None
        self._current: BaseWorkflow[Any] | None = None
        self._pause: anyio.CancelScope | None = None
        self._stop_code: int | None = None

    def stop(self, exit_code: int = 130) -> None:
        """Stop the attempt that runs, in order; there is no other one."""
        self._stop_code = exit_code
        if self._pause is not None:
            self._pause.cancel()
        if (stop := getattr(self._current, "stop", None)) is not None:
            stop(exit_code)

    async def setup(self) -> None:
        """Do nothing: each attempt has its own."""

    async def body(self) -> None:
        """Run the workflow until it has not failed, or there is no attempt left.

        Raises:
            LakehouseError: The last attempt failed.
        """
        for left in range(self._retry.times, -1, -1):
            if not (await self._has_failed() and left and await self._wait()):
                break
        if self._failure is not None:
            raise self._failure

    async def _has_failed(self) -> bool:
        """Run the workflow once; return whether it failed with what time may cure."""
        self._failure = None
        async with self._turn():
            self._current = self._make()
            if self._stop_code is not None:
                self.stop(self._stop_code)
            try:
                self._outcome = await self._current.run()
            except LakehouseError as error:
                self._failure = error
                return error.exit_code in _CURABLE
        report = self._outcome.report
        return (
            getattr(report, "exit_code", 0) in _CURABLE or getattr(report, "status", "") == "failed"
        )

    async def _wait(self) -> bool:
        """Say why it failed, and pause; return False if it was stopped."""
        if self._stop_code is not None:
            return False
        why: object = self._failure
        if why is None:
            why = getattr(self._outcome.report, "error", "") or "its report has the reasons"
        self._tell(f"failed: {redact(str(why))}; it runs again in {self._retry.wait_s:g} s")
        with anyio.CancelScope() as self._pause:
            await self._sleep(self._retry.wait_s)
        return not self._pause.cancel_called

    async def cleanup(self) -> None:
        """Do nothing: each attempt has its own."""

    def metrics(self) -> Outcome:
        """The outcome of the last attempt."""
        return self._outcome
