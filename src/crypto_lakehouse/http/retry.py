"""When and after how long a failed request is tried again; tenacity does the trying."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, cast

import anyio
from attrs import evolve, field, frozen

from crypto_lakehouse.core.errors import ServerError, TransferError

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

__all__ = ["RetryPolicy"]

#: Told of each retry: the attempt that failed (1 is the first), the wait, and the error.
OnRetry = Callable[[int, float, TransferError], Awaitable[None]]


_Result = TypeVar("_Result")


def _uniform(low: float, high: float) -> float:
    """Draw from this process's generator: `random.uniform` itself would be pickled with its state.

    Worker processes that begin with the same state would all wait equally long.
    """
    return random.uniform(low, high)  # noqa: S311 - it protects nothing


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, TransferError) and error.transient


@frozen(kw_only=True)
class RetryPolicy:
    """Jittered exponential back-off.

    The wait before retry n is drawn evenly from the upper half of `first_wait_s * 2**(n-1)`,
    capped at `longest_wait_s`: the jitter keeps workers that failed together from coming back
    together, and the lower half is left out so that no retry is at once. A source's Retry-After
    is obeyed, and a little more is waited, for the same reason.

    Attributes:
        max_retries: How often a request is tried again.
        first_wait_s, longest_wait_s: In seconds.
        longest_retry_after_s: A source's Retry-After is obeyed up to this many seconds.
        sleep: Waits; a parameter for tests.
        jitter: Draws a float between two bounds; a parameter for tests.
    """

    max_retries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    longest_retry_after_s: float = 300.0
    sleep: Callable[[float], Awaitable[None]] = field(default=anyio.sleep, repr=False)
    jitter: Callable[[float, float], float] = field(default=_uniform, repr=False)

    def sendable(self) -> RetryPolicy:
        """Return the same policy for another process: without the callables of a test."""
        return evolve(self, sleep=anyio.sleep, jitter=_uniform)

    async def call(
        self,
        on_retry: OnRetry,
        function: Callable[..., Awaitable[_Result]],
        *arguments: object,
    ) -> _Result:
        """Call a coroutine function until it succeeds or may not be tried again.

        tenacity is set up only where the first call has failed: its bookkeeping costs as much
        as a small request, and nearly every request succeeds.

        Raises:
            TransferError: The last one, as it is.
        """
        failures: list[TransferError] = []
        try:
            return await function(*arguments)
        except TransferError as error:
            if not error.transient:
                raise
            failures.append(error)

        async def again() -> _Result:
            if failures:
                raise failures.pop()
            return await function(*arguments)

        return await self.attempts(on_retry)(again)

    def attempts(self, on_retry: OnRetry) -> AsyncRetrying:
        """Return what calls a coroutine function until it succeeds or may not be tried again.

        The last error is raised as it is; an error that is not transient ends the attempts.
        """
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        async def tell(state: RetryCallState) -> None:
            await on_retry(state.attempt_number, state.upcoming_sleep, _error_of(state))

        return AsyncRetrying(
            sleep=self.sleep,
            stop=stop_after_attempt(self.max_retries + 1),
            wait=self._wait_s,
            retry=retry_if_exception(_is_transient),
            before_sleep=tell,
            reraise=True,
        )

    def _wait_s(self, state: RetryCallState) -> float:
        error = _error_of(state)
        if isinstance(error, ServerError) and error.retry_after_s is not None:
            wait_s = min(error.retry_after_s, self.longest_retry_after_s)
            return wait_s + self.jitter(0.0, max(wait_s / 10, self.first_wait_s))
        ceiling = min(self.first_wait_s * 2 ** (state.attempt_number - 1), self.longest_wait_s)
        return self.jitter(ceiling / 2, ceiling)


def _error_of(state: RetryCallState) -> TransferError:
    """The error of the attempt that was just made; `_is_transient` let only ours through."""
    return cast("TransferError", state.outcome and state.outcome.exception())
