"""Counting requests and their weights, and refusing them: pure, with the time as an argument.

The weight of an IP is that of all its programs in the current clock minute. A request that exceeds
the budget gets 429 with the seconds to the end of its window; it counts, too. An IP that goes on
is banned: 418, each time for twice as long. See docs/exchange-server.md#limits.
"""

from __future__ import annotations

from attrs import define, field, frozen

from crypto_lakehouse.testing.exchange.clock import MINUTE_US, SECOND_US
from crypto_lakehouse.testing.exchange.rules import Bucket, MarketRules

__all__ = ["Admission", "Limits"]

BANNED = 418
TOO_MANY = 429


@frozen
class Admission:
    """The decision on one request.

    Attributes:
        status: 200, 429 or 418.
        used_weight: The weight of the IP in this minute, with this request.
        retry_after_s: Seconds until requests are accepted again, at least 1; None if this one is.
        until_us: When a ban ends; None if there is none.
    """

    status: int
    used_weight: int
    retry_after_s: int | None = None
    until_us: int | None = None


@define
class _Counter:
    """What was used in the current window."""

    window_us: int
    number: int = -1
    used: int = 0

    def use(self, now_us: int, amount: int, at_start: int = 0) -> int:
        """Add to the window of this time, which begins with `at_start`; return its sum."""
        number = now_us // self.window_us
        if number != self.number:
            self.number, self.used = number, at_start
        self.used += amount
        return self.used

    def end_us(self) -> int:
        return (self.number + 1) * self.window_us


@define
class _Client:
    """What one IP has done."""

    weight: _Counter
    raw: _Counter | None
    buckets: dict[str, _Counter]
    refusals: int = 0
    refused_until_us: int = -1
    bans: int = 0
    banned_until_us: int = -1


@define
class Limits:
    """The limits of one market.

    Args:
        rules: The market's rules.
        other_weight: What other programs use on each IP, at the start of every minute.
    """

    rules: MarketRules
    other_weight: int = 0
    _clients: dict[str, _Client] = field(factory=dict, init=False)

    def admit(self, now_us: int, ip: str, weight: int, bucket: str | None = None) -> Admission:
        """Count a request of an IP, and decide on it."""
        client = self._client(ip)
        if now_us < client.banned_until_us:
            return self._banned(client, now_us)
        used = client.weight.use(now_us, weight, self.other_weight)
        ends = [client.weight.end_us()] if used > self.rules.weight_per_minute else []
        if client.raw is not None and self.rules.raw is not None:
            ends += _exceeded(client.raw, self.rules.raw, now_us)
        if bucket is not None:
            ends += _exceeded(client.buckets[bucket], self.rules.buckets[bucket], now_us)
        if not ends:
            return Admission(200, used)
        return self._refuse(client, now_us, max(ends))

    def spend(self, now_us: int, ip: str, weight: int) -> None:
        """Count weight that another program on this IP uses."""
        self._client(ip).weight.use(now_us, weight, self.other_weight)

    def used(self, now_us: int, ip: str) -> int:
        """The weight that an IP has used in the minute of this time."""
        return self._client(ip).weight.use(now_us, 0, self.other_weight)

    def banned_until(self, now_us: int, ip: str) -> int | None:
        """When the ban of an IP ends; None if it is not banned."""
        until = self._client(ip).banned_until_us
        return until if now_us < until else None

    def _client(self, ip: str) -> _Client:
        if ip not in self._clients:
            raw = self.rules.raw
            self._clients[ip] = _Client(
                weight=_Counter(MINUTE_US),
                raw=None if raw is None else _Counter(raw.window_s * SECOND_US),
                buckets={
                    name: _Counter(bucket.window_s * SECOND_US)
                    for name, bucket in self.rules.buckets.items()
                },
            )
        return self._clients[ip]

    def _refuse(self, client: _Client, now_us: int, end_us: int) -> Admission:
        """Refuse a request; ban the IP if it has gone on after too many refusals."""
        if now_us >= client.refused_until_us:
            client.refusals = 0
        client.refused_until_us = end_us
        client.refusals += 1
        if client.refusals <= self.rules.refusals_before_ban:
            used = client.weight.used
            return Admission(TOO_MANY, used, _seconds(end_us - now_us))
        client.refusals = 0
        if now_us - client.banned_until_us > self.rules.forgives_after_s * SECOND_US:
            client.bans = 0
        length_s = min(self.rules.first_ban_s << client.bans, self.rules.longest_ban_s)
        client.bans += 1
        client.banned_until_us = now_us + length_s * SECOND_US
        return self._banned(client, now_us)

    @staticmethod
    def _banned(client: _Client, now_us: int) -> Admission:
        until = client.banned_until_us
        return Admission(BANNED, client.weight.used, _seconds(until - now_us), until)


def _exceeded(counter: _Counter, bucket: Bucket, now_us: int) -> list[int]:
    """Count a request; return the end of the window if it is one too many."""
    return [counter.end_us()] if counter.use(now_us, 1) > bucket.requests else []


def _seconds(span_us: int) -> int:
    """Whole seconds, rounded up: a client that waits so long is not too early."""
    return -(-span_us // SECOND_US)
