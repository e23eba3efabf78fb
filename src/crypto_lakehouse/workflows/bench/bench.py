"""Measure which `max_parallel_downloads` pays: a line, a source and a selection decide.

Archives of a plan are fetched and thrown away, with one setting after the other. Nothing is
written, checked or tried again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from itertools import islice
from typing import Protocol

import anyio
from attrs import define, field, frozen
from yarl import URL

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    ConnectionFailed,
    Problem,
    RedirectRefused,
    ServerError,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.core.plan import PlannedSeries
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.http.transport import (
    Response,
    Transport,
    object_url,
    server_error,
)
from crypto_lakehouse.workflows.bench.bench_report import (
    ENOUGH_BYTES,
    REFUSALS,
    EndedBy,
    SettingResult,
    Stop,
    Tally,
    why_stop,
)
from crypto_lakehouse.workflows.wiring.transport_stack import make_transport, open_client

__all__ = [
    "DEFAULT_SETTINGS",
    "SourceUnusable",
    "Sweep",
    "SweepLimits",
    "open_transport",
    "planned_keys",
]

DEFAULT_SETTINGS = (1, 2, 4, 8, 16, 32, 64, 128)

#: How many archives of how many series take part; more would only cost memory.
MOST_KEYS, MOST_SERIES = 10_000, 1_000

#: How long to wait after a refusal that names no time, in seconds.
REFUSED_WAIT_S = 10.0

#: A source that asks for a longer wait ends the sweep, in seconds.
LONGEST_WAIT_S = 300.0

#: A setting ends after this many failures in a row, or as many as it has requests at once.
_FAILURES_IN_A_ROW = 5

#: What is read of an answer that is no archive, so that its connection may be used again.
_ERROR_BODY_BYTES = 1 << 16

_KINDS: dict[type[TransferError], str] = {
    TimedOut: "timeout",
    ConnectionFailed: "connection",
    TruncatedBody: "truncated",
    RedirectRefused: "redirect",
}

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class OpenTransport(Protocol):
    """Opens a transport with connections of its own."""

    def __call__(self, connections: int) -> AbstractAsyncContextManager[Transport]:
        """Open it for at most so many connections."""
        ...


class SourceUnusable(TransferError):
    """No archive came from the source."""

    exit_code = 5
    transient = False


@asynccontextmanager
async def open_transport(config: WorkflowConfig, connections: int) -> AsyncIterator[Transport]:
    """Open a transport as a run of the configuration would, with new connections.

    Args:
        config: Names the source, its time-out and the caps.
        connections: How many connections it may hold open.
    """
    async with open_client(config, connections) as client:
        yield make_transport(config, client)


def planned_keys(
    series: Iterator[PlannedSeries], *, most_keys: int = MOST_KEYS, most_series: int = MOST_SERIES
) -> list[str]:
    """Take keys that can be fetched, one of each series in turn, so that any part is a mixture.

    Returns:
        At most `most_keys` keys, of the first `most_series` series.
    """
    turns = deque(_due_keys(planned) for planned in islice(series, most_series))
    keys: list[str] = []
    while turns and len(keys) < most_keys:
        turn = turns.popleft()
        if (key := next(turn, None)) is not None:
            keys.append(key)
            turns.append(turn)
    return keys


def _due_keys(planned: PlannedSeries) -> Iterator[str]:
    for item in planned.archives():
        if not item.not_published and not item.unlisted:
            yield item.archive.key


@frozen(kw_only=True)
class SweepLimits:
    """How far a sweep may go.

    Attributes:
        seconds: For each setting.
        max_bytes: For the whole sweep, body bytes as they are read.
        pause_s: Between two settings, in seconds.
    """

    seconds: float = 5.0
    max_bytes: int = 200_000_000
    pause_s: float = 1.0


@define(kw_only=True)
class _Measurement:
    """One setting under way.

    Args:
        keys: What to fetch, the next first; what is fetched goes to the end, and what the source
            does not have is taken out.
        share: How many bytes it may read.
    """

    setting: int
    keys: deque[str]
    base: URL
    transport: Transport
    seconds: float
    share: int
    clock: Clock
    sleep: Sleep
    _tally: Tally = field(init=False)
    _ended_by: EndedBy | None = field(init=False, default=None)
    _retry_after_s: float | None = field(init=False, default=None)
    _scope: anyio.CancelScope = field(init=False, factory=anyio.CancelScope)

    async def run(self) -> SettingResult:
        """Fetch until the time or the share is used up, or the source refuses."""
        self._tally = Tally(setting=self.setting, begun_s=self.clock())
        with one_error(), self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._end_in_time)
                async with anyio.create_task_group() as workers:
                    for _ in range(self.setting):
                        workers.start_soon(self._work)
                tasks.cancel_scope.cancel()
        if not self._tally.answers and not self._tally.requests:
            silence = f"{redact(str(self.base))}: no answer within {self.seconds:g} s"
            self._tally.note_failures("timeout", silence, self.setting)
        ended_by = self._ended_by or EndedBy.TIME
        return self._tally.result(self.clock(), ended_by, self._retry_after_s)

    async def _end_in_time(self) -> None:
        await self.sleep(self.seconds)
        self._end(EndedBy.TIME)
        self._scope.cancel()

    def _end(self, by: EndedBy) -> None:
        """Begin no further request; the first reason is the one that counts."""
        self._ended_by = self._ended_by or by

    async def _work(self) -> None:
        while self._ended_by is None:
            if not self.keys:
                self._end(EndedBy.MISSING)
                return
            key = self.keys[0]
            self.keys.rotate(-1)
            await self._fetch(key)

    async def _fetch(self, key: str) -> None:
        url = object_url(self.base, key)
        sent_s = self.clock()
        try:
            async with self.transport.get(url, {}) as response:
                self._note_answer()
                if response.status == 200:
                    await self._take(response, sent_s)
                    return
                self._note_status(key, url, response)
                await self._drain(response, _ERROR_BODY_BYTES)
        except TransferError as error:
            kind = next((name for of, name in _KINDS.items() if isinstance(error, of)), "other")
            self._fail(kind, error)

    def _note_answer(self) -> None:
        tally = self._tally
        tally.answers += 1
        now = self.clock()
        is_early = now - tally.begun_s <= self.seconds / 2 and tally.received <= self.share / 2
        if tally.answers == self.setting and is_early:
            tally.note_warm(now)

    async def _take(self, response: Response, sent_s: float) -> None:
        tally = self._tally
        tally.note_begun(sent_s, self.clock(), response.size_bytes)
        size = 0
        try:
            async with aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    tally.good += len(chunk)
                    self._count(len(chunk))
                    if self._ended_by is not None:
                        return
        except TransferError:
            tally.good -= size
            raise
        tally.note_whole(sent_s, self.clock(), size if response.size_bytes is None else None)

    async def _drain(self, response: Response, limit: int) -> None:
        """Read an answer that is no archive, so that its connection may be used again."""
        async with aclosing(response.chunks()) as chunks:
            async for chunk in chunks:
                self._count(len(chunk))
                limit -= len(chunk)
                if limit <= 0:
                    return

    def _count(self, size: int) -> None:
        self._tally.received += size
        if self._tally.received >= self.share:
            self._end(EndedBy.BYTES)
            self._scope.cancel()

    def _note_status(self, key: str, url: URL, response: Response) -> None:
        if response.status == 404:
            self._tally.note_missing()
            if key in self.keys:  # a few keys may be asked for twice at the same time
                self.keys.remove(key)
            return
        error = server_error(url, response)
        self._fail(str(error.status), error)
        if str(error.status) in REFUSALS:
            asked = error.retry_after_s if isinstance(error, ServerError) else None
            wait_s = REFUSED_WAIT_S if asked is None else asked
            self._retry_after_s = max(wait_s, self._retry_after_s or 0)
            self._end(EndedBy.REFUSED)

    def _fail(self, kind: str, error: TransferError) -> None:
        self._tally.note_failures(kind, str(error))
        if self._tally.failures_in_a_row >= max(self.setting, _FAILURES_IN_A_ROW):
            self._end(EndedBy.FAILURES)


@define(kw_only=True)
class Sweep:
    """Measures one setting after the other, the smallest first.

    Args:
        keys: What to fetch, in turn, and again from the first one after the last.
        source_url: Where from.
        opening: Opens a transport for each setting, so that each has connections of its own.
        settings: What to measure, in growing order.
        is_exhaustive: Whether to go on where more at once brings nothing.
        limits: How far to go.
        clock: Seconds, monotonic; a parameter for tests, as `sleep` is.
        on_note: Called with a sentence about what happens.
        on_result: Called with each measurement.

    Attributes:
        results: What was measured so far, also where `run` was cancelled or raised.
        stopped: Why no larger setting was tried or need be, None where the last one was reached.
    """

    keys: Sequence[str]
    source_url: str
    opening: OpenTransport
    settings: Sequence[int] = DEFAULT_SETTINGS
    is_exhaustive: bool = False
    limits: SweepLimits = field(factory=SweepLimits)
    clock: Clock = time.monotonic
    sleep: Sleep = anyio.sleep
    on_note: Callable[[str], None] = ignore
    on_result: Callable[[SettingResult], None] = ignore
    results: list[SettingResult] = field(init=False, factory=list)
    stopped: Stop | None = field(init=False, default=None)

    async def run(self) -> None:
        """Measure until the settings are through, or more of them cannot pay.

        Raises:
            ConfigurationError: There is nothing to fetch, or the source has none of it.
            SourceUnusable: Nothing came with the first setting.
        """
        keys = deque(self.keys)
        if not keys:
            raise _nothing_to_fetch("the plan has no archive that can be fetched")
        for position, setting in enumerate(self.settings):
            share = self._share(len(self.settings) - position)
            if share <= 0:
                self.stopped = Stop.BYTE_CAP
            if self.stopped is not None:
                return
            if self.results:
                await self._pause(self.results[-1].retry_after_s)
            result = await self._measure(setting, keys, share)
            self.results.append(result)
            if result.last_error:
                self.on_note(f"the last failure of {setting} at once: {redact(result.last_error)}")
            self._check_first(keys)
            self.stopped = self._why_stop()
            self.on_result(result)

    def _share(self, settings_left: int) -> int:
        """An even part of what is left of the cap, but enough to judge by where there is."""
        left = self.limits.max_bytes - sum(result.received_bytes for result in self.results)
        return min(left, max(left // settings_left, ENOUGH_BYTES))

    async def _pause(self, retry_after_s: float | None) -> None:
        if retry_after_s is not None:
            self.on_note(f"the source refused a request; waiting {retry_after_s:g} s")
        await self.sleep(max(self.limits.pause_s, retry_after_s or 0))

    async def _measure(self, setting: int, keys: deque[str], share: int) -> SettingResult:
        self.on_note(f"{setting} at once, for {self.limits.seconds:g} s at most")
        async with self.opening(setting) as transport:
            measurement = _Measurement(
                setting=setting,
                keys=keys,
                base=URL(self.source_url),
                transport=transport,
                seconds=self.limits.seconds,
                share=share,
                clock=self.clock,
                sleep=self.sleep,
            )
            return await measurement.run()

    def _check_first(self, keys: deque[str]) -> None:
        first = self.results[0]
        if first.goodput_bytes or first.requests > first.missing + sum(first.errors.values()):
            return
        if not keys:
            raise _nothing_to_fetch(
                f"{redact(self.source_url)} has none of the {first.missing} archives of the plan"
            )
        why = first.last_error or "no body began in time; try --seconds 60"
        raise SourceUnusable(redact(self.source_url), f"no archive came: {why}")

    def _why_stop(self) -> Stop | None:
        wait_s = self.results[-1].retry_after_s or 0
        if wait_s > LONGEST_WAIT_S:
            return Stop.REFUSED
        return why_stop(self.results, is_exhaustive=self.is_exhaustive)


def _nothing_to_fetch(reason: str) -> ConfigurationError:
    hint = "choose other --symbols, --data-types or days, or another --source-url"
    return ConfigurationError([Problem("selection", f"{reason}; {hint}")])
