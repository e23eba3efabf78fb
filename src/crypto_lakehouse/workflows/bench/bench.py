"""Fetch archives of a plan with one setting after the other, and throw the bytes away."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from itertools import islice, zip_longest
from os import PathLike
from typing import Any

import anyio
from attrs import define, evolve, field
from yarl import URL

from crypto_lakehouse.core import errors
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.plan import PlannedSeries
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.http.transport import Response, Transport, object_url, server_error
from crypto_lakehouse.workflows.bench.bench_report import (
    ENOUGH_BYTES,
    REFUSALS,
    BenchReport,
    EndedBy,
    SettingResult,
    Stop,
)
from crypto_lakehouse.workflows.wiring.load_config import load_config
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone
from crypto_lakehouse.workflows.wiring.transport_stack import make_transport, open_client

__all__ = ["SourceUnusable", "Sweep", "open_transport", "planned_keys", "run_bench"]

DEFAULT_SETTINGS = (1, 2, 4, 8, 16, 32, 64, 128)

#: How many archives of how many series take part; more would only cost memory.
MOST_KEYS, MOST_SERIES = 10_000, 1_000

#: A setting may read so much if the cap allows, even if an even part of it is less.
LEAST_SHARE_BYTES = ENOUGH_BYTES

#: Seconds between two settings, and after a refusal that names no time.
PAUSE_S, REFUSED_WAIT_S = 1.0, 10.0

#: A setting ends after this many failures in a row, or as many as it has requests at once.
_FAILURES_IN_A_ROW = 5

#: How much of an error response is read, so that its connection may be used again.
_ERROR_BODY_BYTES = 1 << 16

_KINDS = {
    errors.TimedOut: "timeout",
    errors.ConnectionFailed: "connection",
    errors.TruncatedBody: "truncated",
    errors.RedirectRefused: "redirect",
}


class SourceUnusable(errors.TransferError):
    """No archive came from the source."""

    exit_code = 5
    transient = False


async def run_bench(
    config: WorkflowConfig | Mapping[str, Any] | str | PathLike[str],
    *,
    settings: Iterable[int] | None = None,
    seconds: float = 5.0,
    max_bytes: int = 200_000_000,
    on_note: Callable[[str], None] = ignore,
    on_report: Callable[[BenchReport], None] = ignore,
) -> BenchReport:
    """Measure the best `max_parallel_downloads`; nothing is written.

    Args:
        config: What to fetch, and from where.
        settings: How many requests at once to measure; all of them are measured. By default 1, 2,
            4 ... 128, as long as more brings more.
        seconds: How long each setting is measured.
        max_bytes: How many body bytes may be read in all.
        on_note: Called with a sentence about what happens.
        on_report: Called with the report so far, before the first setting and at each change: what
            a caller has if it cancels the measuring.

    Raises:
        ConfigurationError: There is nothing to fetch.
        SourceUnusable: Nothing came with the first setting.
    """
    ready = await load_config(config)
    async with plan_alone(ready) as (plan, notes):
        keys = planned_keys(plan.each_series())
        report = BenchReport(
            selected_archives=len(keys),
            source_url=redact(ready.source_url),
            notes=tuple(notes),
            unlisted=tuple(plan.failures),
        )
    on_report(report)
    sweep = Sweep(
        keys=deque(keys),
        source_url=ready.source_url,
        opening=partial(open_transport, ready),
        settings=None if settings is None else sorted(set(settings)),
        seconds=seconds,
        max_bytes=max_bytes,
        on_note=on_note,
        on_report=on_report,
        report=report,
    )
    await sweep.run()
    return sweep.report


@asynccontextmanager
async def open_transport(config: WorkflowConfig, connections: int) -> AsyncIterator[Transport]:
    """Open a transport as a run of the configuration would, with new connections."""
    async with open_client(config, connections) as client:
        yield make_transport(config, client)


def planned_keys(series: Iterator[PlannedSeries]) -> list[str]:
    """Take keys that can be fetched, one of each series in turn, so that any part is a mixture."""
    turns = zip_longest(*map(_due_keys, islice(series, MOST_SERIES)))
    return list(islice((key for turn in turns for key in turn if key), MOST_KEYS))


def _due_keys(planned: PlannedSeries) -> Iterator[str]:
    for item in planned.archives():
        if not item.not_published and not item.unlisted:
            yield item.archive.key


@define(kw_only=True)
class Sweep:
    """Measures one setting after the other, the smallest first.

    Args:
        keys: What to fetch, in turn, and again from the first one after the last.
        opening: Opens a transport with so many connections of its own.
        settings: What to measure, in growing order; None for the default ones, up to a plateau.
        seconds: For each setting.
        max_bytes: For the whole sweep.
        clock: Seconds, monotonic; a parameter for tests, as `sleep` is.

    Attributes:
        report: What was measured so far, also if `run` was cancelled or raised.
    """

    keys: deque[str]
    source_url: str
    opening: Callable[[int], AbstractAsyncContextManager[Transport]]
    settings: Sequence[int] | None = None
    seconds: float = 5.0
    max_bytes: int = 200_000_000
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    on_note: Callable[[str], None] = ignore
    on_report: Callable[[BenchReport], None] = ignore
    report: BenchReport = field(factory=BenchReport)

    async def run(self) -> None:
        """Measure until all settings are, or more of them cannot pay.

        Raises:
            ConfigurationError: There is nothing to fetch, or the source has none of it.
            SourceUnusable: Nothing came with the first setting.
        """
        if not self.keys:
            raise _nothing_to_fetch("the plan has no archive that can be fetched")
        settings = DEFAULT_SETTINGS if self.settings is None else self.settings
        for position, setting in enumerate(settings):
            if not self.report.stopped and self.report.received_bytes >= self.max_bytes:
                self._stop("byte_cap")
            if self.report.stopped:
                return
            if self.report.results:
                await self._pause(self.report.results[-1].retry_after_s)
            result = await self._measure(setting, len(settings) - position)
            self.report = evolve(self.report, results=(*self.report.results, result))
            if error := result.last_error:
                self.on_note(f"the last failure of {setting} at once: {redact(error)}")
            self._check_first()
            self._stop(self.report.why_stop(is_exhaustive=self.settings is not None))

    def _stop(self, why: Stop | None) -> None:
        self.report = evolve(self.report, stopped=why or "")
        self.on_report(self.report)

    async def _pause(self, retry_after_s: float | None) -> None:
        if retry_after_s is not None:
            self.on_note(f"the source refused a request; waiting {retry_after_s:g} s")
        await self.sleep(max(PAUSE_S, retry_after_s or 0))

    async def _measure(self, setting: int, settings_left: int) -> SettingResult:
        """Measure with an even part of the bytes left, but with enough to judge by if possible."""
        bytes_left = self.max_bytes - self.report.received_bytes
        share = min(bytes_left, max(bytes_left // settings_left, LEAST_SHARE_BYTES))
        self.on_note(f"{setting} at once, for {self.seconds:g} s at most")
        async with self.opening(setting) as transport:
            return await _Measurement(self, SettingResult(setting=setting), share, transport).run()

    def _check_first(self) -> None:
        first = self.report.results[0]
        if first.goodput_bytes or first.requests > first.missing + sum(first.errors.values()):
            return
        if not self.keys:
            raise _nothing_to_fetch(
                f"{redact(self.source_url)} has no archive of the plan ({first.missing} requested)"
            )
        why = first.last_error or "no body began in time; try --seconds 60"
        raise SourceUnusable(redact(self.source_url), f"no archive came: {why}")


def _nothing_to_fetch(reason: str) -> errors.ConfigurationError:
    hint = "choose other --symbols, --data-types or days, or another --source-url"
    return errors.ConfigurationError([errors.Problem("selection", f"{reason}; {hint}")])


@define
class _Measurement:
    """One setting under way, which may read `share` bytes.

    Opening connections takes time, and a run does it once: the first responses, one for each
    connection, are left out of the goodput. Moments are `sweep.clock()`, in seconds.
    """

    sweep: Sweep
    result: SettingResult
    share: int
    transport: Transport
    _begun_s: float = field(init=False)
    _from_s: float = field(init=False)
    _warm_up_bytes: int = field(init=False, default=0)
    _answers: int = field(init=False, default=0)
    _failures_in_a_row: int = field(init=False, default=0)
    _heads: list[tuple[float, float]] = field(init=False, factory=list)
    _wholes: list[tuple[float, float]] = field(init=False, factory=list)
    _ended_by: EndedBy | None = field(init=False, default=None)
    _scope: anyio.CancelScope = field(init=False)

    async def run(self) -> SettingResult:
        """Fetch until the time or the share is used up, or the source refuses."""
        self._begun_s = self._from_s = self.sweep.clock()
        with one_error():
            async with anyio.create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                tasks.start_soon(self._end_in_time)
                async with anyio.create_task_group() as workers:
                    for _ in range(self.result.setting):
                        workers.start_soon(self._work)
                self._scope.cancel()
        if not self._answers and not self.result.errors:
            silence = f"{self.sweep.source_url}: no answer within {self.sweep.seconds:g} s"
            self._fail("timeout", redact(silence), self.result.setting)
        return self._summed_up()

    async def _end_in_time(self) -> None:
        await self.sweep.sleep(self.sweep.seconds)
        self._end("time")
        self._scope.cancel()

    def _end(self, by: EndedBy) -> None:
        """Begin no further request; the first reason is the one that counts."""
        self._ended_by = self._ended_by or by

    async def _work(self) -> None:
        keys, base = self.sweep.keys, URL(self.sweep.source_url)
        while self._ended_by is None:
            if keys:
                key = keys[0]
                keys.rotate(-1)
                await self._fetch(key, object_url(base, key))
            else:
                self._end("missing")

    async def _fetch(self, key: str, url: URL) -> None:
        sent_s = self.sweep.clock()
        try:
            async with self.transport.get(url, {}) as response:
                self._note_answer()
                if response.status == 200:
                    return await self._take(response, sent_s)
                self._note_status(key, url, response)
                self._count(len(await response.read(_ERROR_BODY_BYTES)))
        except errors.TransferError as error:
            kind = next((name for of, name in _KINDS.items() if isinstance(error, of)), "other")
            self._fail(kind, str(error))

    def _note_answer(self) -> None:
        self._answers += 1
        now, result = self.sweep.clock(), self.result
        is_early = now - self._begun_s <= self.sweep.seconds / 2
        if self._answers == result.setting and is_early and result.received_bytes <= self.share / 2:
            self._from_s, self._warm_up_bytes = now, result.goodput_bytes
            result.goodput_bytes = result.archives = 0

    async def _take(self, response: Response, sent_s: float) -> None:
        self._heads.append((sent_s, self.sweep.clock() - sent_s))
        size = 0
        if response.size_bytes is not None:
            self.result.sizes.append(response.size_bytes)
        try:
            async with aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    self.result.goodput_bytes += len(chunk)
                    self._count(len(chunk))
                    if self._ended_by is not None:
                        return
        except errors.TransferError:
            self.result.goodput_bytes = max(0, self.result.goodput_bytes - size)
            raise
        self._wholes.append((sent_s, self.sweep.clock() - sent_s))
        if response.size_bytes is None:
            self.result.sizes.append(size)
        self.result.archives += 1
        self.result.requests += 1
        self._failures_in_a_row = 0

    def _count(self, size: int) -> None:
        self.result.received_bytes += size
        if self.result.received_bytes >= self.share:
            self._end("bytes")
            self._scope.cancel()

    def _note_status(self, key: str, url: URL, response: Response) -> None:
        if response.status == 404:
            self.result.missing += 1
            self.result.requests += 1
            self._failures_in_a_row = 0
            if key in self.sweep.keys:  # a few keys may be asked for twice at the same time
                self.sweep.keys.remove(key)
            return
        error = server_error(url, response)
        self._fail(str(error.status), str(error))
        if str(error.status) in REFUSALS:
            asked = getattr(error, "retry_after_s", None)
            wait_s = REFUSED_WAIT_S if asked is None else asked
            self.result.retry_after_s = max(wait_s, self.result.retry_after_s or 0)
            self._end("refused")

    def _fail(self, kind: str, reason: str, count: int = 1) -> None:
        self.result.errors[kind] += count
        self.result.requests += count
        self.result.last_error = reason
        self._failures_in_a_row += count
        if self._failures_in_a_row >= max(self.result.setting, _FAILURES_IN_A_ROW):
            self._end("failures")

    def _summed_up(self) -> SettingResult:
        """What is still under way counts with the bytes that came of it."""
        result = self.result
        result.seconds = self.sweep.clock() - self._from_s
        result.first_byte_s, result.whole_s = self._warm(self._heads), self._warm(self._wholes)
        result.ended_by = self._ended_by or "time"
        is_enough = self._warm_up_bytes + result.goodput_bytes >= ENOUGH_BYTES
        is_enough = is_enough or len(self._wholes) >= result.setting
        result.is_measured = result.ended_by != "bytes" or is_enough
        return result

    def _warm(self, samples: Sequence[tuple[float, float]]) -> list[float]:
        """Durations of requests on connections that were open; of all if there are none."""
        warm = [duration for sent_s, duration in samples if sent_s >= self._from_s]
        return warm or [duration for _, duration in samples]
