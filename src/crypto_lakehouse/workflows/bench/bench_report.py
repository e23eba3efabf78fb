"""What a sweep over `max_parallel_downloads` found out, and what follows from it; all pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import ceil
from typing import Any

from attrs import define, field, frozen

__all__ = [
    "ENOUGH_BYTES",
    "REFUSALS",
    "BenchReport",
    "EndedBy",
    "Percentiles",
    "SettingResult",
    "Stop",
    "Tally",
    "recommend",
    "why_stop",
]

#: A setting is as good as another one whose goodput is no more than this much higher.
CLOSE_ENOUGH = 0.05

#: A setting with this share of errors or more is not recommended.
MOST_ERRORS = 0.01

#: A source that refuses more than this share of requests is not asked for more at once.
MOST_REFUSALS = 0.05

#: After so many settings that bring nothing, the next one is not tried.
_FLAT_SETTINGS = 2

#: How a source says that it is asked too much.
REFUSALS = ("429", "503")

#: A setting that the byte cap ended can be judged by so many bytes.
ENOUGH_BYTES = 8_000_000


class EndedBy(StrEnum):
    """Why the measuring of a setting ended."""

    TIME = "time"
    BYTES = "bytes"
    REFUSED = "refused"
    FAILURES = "failures"
    MISSING = "missing"


class Stop(StrEnum):
    """Why a sweep ended before its last setting."""

    PLATEAU = "plateau"
    REFUSED = "refused"
    NOTHING_CAME = "nothing_came"
    BYTE_CAP = "byte_cap"


@frozen
class Percentiles:
    """Two percentiles of a duration, in milliseconds."""

    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, durations_s: Sequence[float]) -> Percentiles | None:
        """Find them by the nearest rank, so that each is a duration that occurred.

        Args:
            durations_s: In seconds, in any order.

        Returns:
            None where there are no durations.

        Example:
            >>> Percentiles.of([0.003, 0.001, 0.002])
            Percentiles(p50_ms=2.0, p95_ms=3.0)
        """
        if not durations_s:
            return None
        ordered = sorted(durations_s)
        p50, p95 = (ordered[ceil(part * len(ordered) / 100) - 1] for part in (50, 95))
        return cls(1000 * p50, 1000 * p95)

    def to_mapping(self) -> dict[str, float]:
        """Both, rounded to tenths of a millisecond."""
        return {"p50": round(self.p50_ms, 1), "p95": round(self.p95_ms, 1)}


@frozen(kw_only=True)
class SettingResult:
    """What one setting of `max_parallel_downloads` brought.

    Attributes:
        setting: How many requests were under way at once.
        seconds: How long was measured, without the opening of the connections.
        goodput_bytes: Body bytes of archives that arrived in that time; those of archives whose
            transfer failed are not among them.
        archives: How many arrived whole in that time.
        requests: How many ended, those that opened the connections included.
        errors: How many of these failed, by kind: a status, `timeout`, `connection`,
            `truncated`, `redirect` or `other`.
        missing: How many were answered with 404; the source said what it was asked.
        received_bytes: All body bytes, whatever became of them; they count toward the cap.
        mean_bytes: How large the archives were, None where none was begun.
        first_byte: From the sending of a request to its answer's head.
        whole: From the sending of a request to the last byte of its body.
        ended_by: Why it ended.
        is_measured: Whether enough arrived to judge it by.
        retry_after_s: How long the source asked to be left alone, in seconds, where it did.
        last_error: The last failure in words, empty where there was none.
    """

    setting: int
    seconds: float
    goodput_bytes: int
    archives: int
    requests: int
    errors: Mapping[str, int] = field(factory=dict)
    missing: int = 0
    received_bytes: int = 0
    mean_bytes: float | None = None
    first_byte: Percentiles | None = None
    whole: Percentiles | None = None
    ended_by: EndedBy = EndedBy.TIME
    is_measured: bool = True
    retry_after_s: float | None = None
    last_error: str = ""

    @property
    def bytes_per_second(self) -> float:
        """The goodput."""
        return self.goodput_bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def archives_per_second(self) -> float:
        """Whole archives for each second."""
        return self.archives / self.seconds if self.seconds > 0 else 0.0

    @property
    def error_share(self) -> float:
        """Failed requests of all requests, 0 to 1."""
        return sum(self.errors.values()) / self.requests if self.requests else 0.0

    @property
    def refusal_share(self) -> float:
        """Requests that were refused for being too many, of all requests, 0 to 1."""
        refused = sum(self.errors.get(kind, 0) for kind in REFUSALS)
        return refused / self.requests if self.requests else 0.0

    def to_mapping(self) -> dict[str, Any]:
        """One of the `settings` that `bench --json` prints."""
        return {
            "max_parallel_downloads": self.setting,
            "measured": self.is_measured,
            "seconds": round(self.seconds, 3),
            "mb_per_second": round(self.bytes_per_second / 1e6, 3),
            "archives_per_second": round(self.archives_per_second, 2),
            "first_byte_ms": self.first_byte and self.first_byte.to_mapping(),
            "whole_ms": self.whole and self.whole.to_mapping(),
            "requests": self.requests,
            "archives": self.archives,
            "bytes": self.received_bytes,
            "mean_archive_bytes": self.mean_bytes and round(self.mean_bytes),
            "errors": dict(self.errors),
            "missing": self.missing,
            "ended_by": str(self.ended_by),
        }


@define(kw_only=True)
class Tally:
    """Counts what becomes of one setting's requests; whoever asks says what time it is.

    The first answers, one for each connection, are told apart: to open connections takes time,
    and a run does it once.

    Args:
        setting: How many requests are under way at once.
        begun_s: The moment at which the first request is sent; seconds, as all moments here.
    """

    setting: int
    begun_s: float
    received: int = field(init=False, default=0)
    good: int = field(init=False, default=0)
    requests: int = field(init=False, default=0)
    answers: int = field(init=False, default=0)
    missing: int = field(init=False, default=0)
    failures_in_a_row: int = field(init=False, default=0)
    errors: Counter[str] = field(init=False, factory=Counter)
    last_error: str = field(init=False, default="")
    _since_s: float | None = field(init=False, default=None)
    _warm_up: tuple[int, int] = field(init=False, default=(0, 0))
    _sizes: list[int] = field(init=False, factory=list)
    _heads: list[tuple[float, float]] = field(init=False, factory=list)
    _wholes: list[tuple[float, float]] = field(init=False, factory=list)

    def note_warm(self, now_s: float) -> None:
        """Leave out of the goodput what came until now."""
        self._since_s, self._warm_up = now_s, (self.good, len(self._wholes))

    def note_begun(self, sent_s: float, now_s: float, size_bytes: int | None) -> None:
        """Count an archive's head; its size is None where it is not announced."""
        self._heads.append((sent_s, now_s - sent_s))
        if size_bytes is not None:
            self._sizes.append(size_bytes)

    def note_whole(self, sent_s: float, now_s: float, unannounced_bytes: int | None) -> None:
        """Count an archive that is whole; its size where its head did not say it."""
        self._wholes.append((sent_s, now_s - sent_s))
        if unannounced_bytes is not None:
            self._sizes.append(unannounced_bytes)
        self.requests += 1
        self.failures_in_a_row = 0

    def note_missing(self) -> None:
        """Count an archive that the source does not have."""
        self.requests += 1
        self.missing += 1
        self.failures_in_a_row = 0

    def note_failures(self, kind: str, reason: str, count: int = 1) -> None:
        """Count requests that failed in the same way."""
        self.errors[kind] += count
        self.requests += count
        self.failures_in_a_row += count
        self.last_error = reason

    def result(
        self, now_s: float, ended_by: EndedBy, retry_after_s: float | None = None
    ) -> SettingResult:
        """Sum up; what is still under way counts with the bytes that came of it."""
        enough = len(self._wholes) >= self.setting or self.good >= ENOUGH_BYTES
        return SettingResult(
            setting=self.setting,
            seconds=now_s - self._from_s,
            goodput_bytes=max(0, self.good - self._warm_up[0]),
            archives=len(self._wholes) - self._warm_up[1],
            requests=self.requests,
            errors=dict(self.errors),
            missing=self.missing,
            received_bytes=self.received,
            mean_bytes=sum(self._sizes) / len(self._sizes) if self._sizes else None,
            first_byte=Percentiles.of(self._warm(self._heads)),
            whole=Percentiles.of(self._warm(self._wholes)),
            ended_by=ended_by,
            is_measured=ended_by is not EndedBy.BYTES or enough,
            retry_after_s=retry_after_s,
            last_error=self.last_error,
        )

    @property
    def _from_s(self) -> float:
        return self.begun_s if self._since_s is None else self._since_s

    def _warm(self, samples: Sequence[tuple[float, float]]) -> list[float]:
        """Durations of requests on connections that were open; of all where there are none."""
        warm = [duration for sent_s, duration in samples if sent_s >= self._from_s]
        return warm or [duration for _, duration in samples]


def recommend(results: Sequence[SettingResult]) -> int | None:
    """Choose the smallest setting that is as good as the best one.

    Settings with 1 % errors or more do not count, nor do those that were not measured: a fast
    setting that fails is no help, and each connection that brings nothing is one too many.

    Returns:
        None where no setting counts, or fewer than two were measured.
    """
    measured = [result for result in results if result.is_measured]
    sound = [
        result
        for result in measured
        if result.bytes_per_second and result.error_share < MOST_ERRORS
    ]
    if not sound or len(measured) < 2:
        return None
    best = max(result.bytes_per_second for result in sound)
    enough = (1 - CLOSE_ENOUGH) * best
    return min(result.setting for result in sound if result.bytes_per_second >= enough)


def why_stop(results: Sequence[SettingResult], *, is_exhaustive: bool = False) -> Stop | None:
    """Say why no larger setting is to be tried; None where the next one is.

    Args:
        results: What was measured, smallest setting first; at least one.
        is_exhaustive: Whether settings are wanted even though they bring nothing.
    """
    last = results[-1]
    if last.refusal_share > MOST_REFUSALS:
        return Stop.REFUSED
    if not last.is_measured:
        return Stop.BYTE_CAP
    if not last.goodput_bytes:
        return Stop.NOTHING_CAME
    before, latest = results[:-_FLAT_SETTINGS], results[-_FLAT_SETTINGS:]
    if is_exhaustive or not before:
        return None
    mark = (1 + CLOSE_ENOUGH) * max(result.bytes_per_second for result in before)
    is_flat = all(result.bytes_per_second < mark for result in latest)
    return Stop.PLATEAU if is_flat else None


@frozen(kw_only=True)
class BenchReport:
    """How much more requests at once bring.

    Attributes:
        results: A measurement for each setting, the smallest first.
        stopped: Why no larger setting was tried: `plateau`, `refused`, `nothing_came` or
            `byte_cap`; empty if all were.
        selected_archives: How many archives took part.
        source_url: The source, with secrets masked.
        notes: Remarks about the plan, one sentence each.
        unlisted: What could not be listed, one sentence each; the plan lacks it.
        is_interrupted: Whether the measuring was cancelled.
    """

    results: tuple[SettingResult, ...]
    stopped: str = ""
    selected_archives: int = 0
    source_url: str = ""
    notes: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    is_interrupted: bool = False

    @property
    def recommendation(self) -> int | None:
        """The `max_parallel_downloads` to use; None if the results allow no choice."""
        return recommend(self.results)

    @property
    def received_bytes(self) -> int:
        """All body bytes that were read."""
        return sum(result.received_bytes for result in self.results)

    @property
    def mean_archive_bytes(self) -> float | None:
        """The mean size of the archives, each setting weighted with its number of archives."""
        sized = [
            (result.mean_bytes, max(1, result.archives))
            for result in self.results
            if result.mean_bytes is not None
        ]
        count = sum(weight for _, weight in sized)
        return sum(mean * weight for mean, weight in sized) / count if sized else None

    @property
    def exit_code(self) -> int:
        """6 if the byte cap left fewer than two settings measured, else 0."""
        measured = sum(result.is_measured for result in self.results)
        return 6 if self.stopped == Stop.BYTE_CAP and measured < 2 else 0

    def to_mapping(self) -> dict[str, Any]:
        """Return the object that `bench --json` prints."""
        best, mean = self.recommendation, self.mean_archive_bytes
        return {
            "status": "interrupted" if self.is_interrupted else "complete",
            "source_url": self.source_url,
            "selected_archives": self.selected_archives,
            "mean_archive_bytes": None if mean is None else round(mean),
            "bytes": self.received_bytes,
            "settings": [result.to_mapping() for result in self.results],
            "stopped": self.stopped or None,
            "recommendation": None if best is None else {"max_parallel_downloads": best},
        }
