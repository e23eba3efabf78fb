"""What a sweep over `max_parallel_downloads` found, and what follows from it; all pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from math import ceil
from statistics import fmean
from typing import Any, Literal

from attrs import define, field, frozen

__all__ = ["ENOUGH_BYTES", "REFUSALS", "BenchReport", "EndedBy", "SettingResult", "Stop"]

#: A setting is as good as another one whose goodput is no more than this much higher.
CLOSE_ENOUGH = 0.05

#: A setting with this share of errors or more is not recommended.
MOST_ERRORS = 0.01

#: A source that refuses more than this share of requests is not asked for more at once.
MOST_REFUSALS = 0.05

#: A source that asks for a longer wait ends the sweep, in seconds.
LONGEST_WAIT_S = 300.0

#: The statuses by which a source refuses requests for being too many.
REFUSALS = ("429", "503")

#: A setting that the byte cap ended can be judged by so many bytes.
ENOUGH_BYTES = 8_000_000

EndedBy = Literal["time", "bytes", "refused", "failures", "missing"]
Stop = Literal["plateau", "refused", "nothing_came", "byte_cap"]


@define(kw_only=True)
class SettingResult:
    """What one setting of `max_parallel_downloads` brought.

    Attributes:
        setting: How many requests were under way at once.
        seconds: How long was measured, without the opening of the connections.
        goodput_bytes: Body bytes that arrived in that time, without those of failed transfers.
        archives: How many arrived whole in that time.
        requests: How many ended, those that opened the connections included.
        errors: How many of these failed, by kind: a status, `timeout`, `connection`,
            `truncated`, `redirect` or `other`; 404 is not an error.
        missing: How many were answered with 404.
        received_bytes: All body bytes; they count toward the cap.
        sizes: Of the archives that began.
        first_byte_s: From the sending of each request to the head of its response.
        whole_s: From the sending of each request to the last byte of its body.
        ended_by: Why the measuring of this setting ended.
        is_measured: Whether enough arrived to judge the setting by.
        retry_after_s: How long to wait after a refusal; None if there was none.
        last_error: The message of the last failure; empty if there was none.
    """

    setting: int
    seconds: float = 0.0
    goodput_bytes: int = 0
    archives: int = 0
    requests: int = 0
    errors: Counter[str] = field(factory=Counter)
    missing: int = 0
    received_bytes: int = 0
    sizes: list[int] = field(factory=list)
    first_byte_s: list[float] = field(factory=list)
    whole_s: list[float] = field(factory=list)
    ended_by: EndedBy = "time"
    is_measured: bool = True
    retry_after_s: float | None = None
    last_error: str = ""

    @property
    def bytes_per_second(self) -> float:
        """The goodput."""
        return self.goodput_bytes / self.seconds if self.seconds > 0 else 0.0

    def error_share(self, *kinds: str) -> float:
        """Failed requests of these kinds, or of any kind, as a share of all, 0 to 1."""
        failed = sum(self.errors[kind] for kind in kinds or self.errors)
        return failed / self.requests if self.requests else 0.0

    def to_mapping(self) -> dict[str, Any]:
        """Return one of the `settings` that `bench --json` prints."""
        rate = self.archives / self.seconds if self.seconds > 0 else 0.0
        return {
            "max_parallel_downloads": self.setting,
            "measured": self.is_measured,
            "seconds": round(self.seconds, 3),
            "mb_per_second": round(self.bytes_per_second / 1e6, 3),
            "archives_per_second": round(rate, 2),
            "first_byte_ms": percentiles_ms(self.first_byte_s),
            "whole_ms": percentiles_ms(self.whole_s),
            "requests": self.requests,
            "archives": self.archives,
            "bytes": self.received_bytes,
            "mean_archive_bytes": round(fmean(self.sizes)) if self.sizes else None,
            "errors": dict(self.errors),
            "missing": self.missing,
            "ended_by": self.ended_by,
        }


def percentiles_ms(durations_s: Sequence[float]) -> dict[str, float] | None:
    """Find percentiles by the nearest rank, in milliseconds; None if there are no durations.

    Examples:
        >>> percentiles_ms([0.003, 0.001, 0.002])
        {'p50': 2.0, 'p95': 3.0}
    """
    if not durations_s:
        return None
    ranked = sorted(durations_s)
    ranks = {f"p{part}": ceil(part * len(ranked) / 100) - 1 for part in (50, 95)}
    return {name: round(1000 * ranked[rank], 1) for name, rank in ranks.items()}


@frozen(kw_only=True)
class BenchReport:
    """How much faster more concurrent requests are.

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

    results: tuple[SettingResult, ...] = ()
    stopped: Stop | Literal[""] = ""
    selected_archives: int = 0
    source_url: str = ""
    notes: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    is_interrupted: bool = False

    @property
    def recommendation(self) -> int | None:
        """The smallest setting that is as good as the best; None if the results allow no choice.

        Settings with too many errors, or too few bytes to judge them by, do not count.
        """
        sound = [one for one in self.results if one.is_measured and one.error_share() < MOST_ERRORS]
        best = max((one.bytes_per_second for one in sound), default=0.0)
        if not best or self.measured < 2:
            return None
        enough = (1 - CLOSE_ENOUGH) * best
        return min(one.setting for one in sound if one.bytes_per_second >= enough)

    def why_stop(self, *, is_exhaustive: bool = False) -> Stop | None:
        """Return why to try no larger setting; a plateau is no reason if `is_exhaustive`."""
        last = self.results[-1]
        is_long = (last.retry_after_s or 0) > LONGEST_WAIT_S
        if is_long or last.error_share(*REFUSALS) > MOST_REFUSALS:
            return "refused"
        if not last.is_measured:
            return "byte_cap"
        if not last.goodput_bytes:
            return "nothing_came"
        rates = [result.bytes_per_second for result in self.results]
        if is_exhaustive or len(rates) < 3:
            return None
        is_flat = max(rates[-2:]) < (1 + CLOSE_ENOUGH) * max(rates[:-2])
        return "plateau" if is_flat else None

    @property
    def measured(self) -> int:
        """How many settings can be judged."""
        return sum(result.is_measured for result in self.results)

    @property
    def received_bytes(self) -> int:
        """All body bytes that were read."""
        return sum(result.received_bytes for result in self.results)

    @property
    def mean_archive_bytes(self) -> float | None:
        """The mean size of the archives that began."""
        sizes = list(chain.from_iterable(result.sizes for result in self.results))
        return fmean(sizes) if sizes else None

    @property
    def exit_code(self) -> int:
        """6 if the byte cap left fewer than two settings measured, else 0."""
        return 6 if self.stopped == "byte_cap" and self.measured < 2 else 0

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
            "recommendation": best and {"max_parallel_downloads": best},
        }
