"""The limits of one process of a run: requests at once, requests per second, bytes per second."""

from __future__ import annotations

import logging

from attrs import frozen

from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.http.adaptive_limit import AdaptiveLimit
from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit, FixedLimit
from crypto_lakehouse.http.rate_limit import ByteRate, RequestRate

__all__ = ["Caps"]

_log = logging.getLogger("crypto_lakehouse")


@frozen
class Caps:
    """The limits of one process; they may change while it works.

    Attributes:
        requests: How many requests may be in flight.
        byte_rate, request_rate: None if the configuration has no such cap.
        meter: Shows how many requests may be in flight.
    """

    requests: ConcurrencyLimit
    byte_rate: ByteRate | None
    request_rate: RequestRate | None
    meter: ByteMeter

    @classmethod
    def of(cls, share: Share, meter: ByteMeter) -> Caps:
        """Make the limits of a share."""
        byte_rate, request_rate = share.bytes_per_second, share.requests_per_second
        return cls(
            _make_limit(share, meter),
            ByteRate(byte_rate) if byte_rate else None,
            RequestRate(request_rate) if request_rate else None,
            meter,
        )

    def change(self, share: Share) -> None:
        """Apply another share of the same configuration; work in progress goes on under it."""
        self.requests.resize(share.parallel)
        self.meter.parallel = self.requests.limit
        if self.byte_rate is not None and share.bytes_per_second:
            self.byte_rate.change(share.bytes_per_second)
        if self.request_rate is not None and share.requests_per_second:
            self.request_rate.change(share.requests_per_second)


def _make_limit(share: Share, meter: ByteMeter) -> ConcurrencyLimit:
    if not share.is_adaptive:
        meter.parallel = share.parallel
        return FixedLimit(share.parallel)

    def changed(limit: int, reason: str) -> None:
        meter.parallel = limit
        _log.debug("max_parallel_downloads: auto is %s now: %s", limit, reason)

    limit = AdaptiveLimit(workers=share.parallel, on_change=changed)
    meter.parallel = limit.limit
    return limit
