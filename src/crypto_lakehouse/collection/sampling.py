"""Choose a uniform sample of keys, the same one for the same seed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import blake2b
from math import ceil

from attrs import define, field, frozen

__all__ = ["Chosen", "Sample", "choose"]

_BITS = 64


@frozen
class Sample:
    """The size of a sample: a share or a count.

    Attributes:
        seed: Determines which keys are chosen.
        share: A share, more than 0 and at most 1. Each key is chosen independently, so the
            number of keys differs a little from the share.
        count: An exact number of keys, or all if there are fewer.
    """

    seed: str
    share: float | None = None
    count: int | None = None

    @classmethod
    def parse(cls, text: str, seed: str) -> Sample:
        """Parse `5%` or `1000`.

        Raises:
            ValueError: The text is neither.
        """
        hint = f"`{text}` is no sample; give a share as 5%, or a number of archives as 1000"
        try:
            if text.endswith("%"):
                share = float(text[:-1]) / 100
                if not 0 < share <= 1:
                    raise ValueError(hint)
                return cls(seed, share=share)
            count = int(text)
        except ValueError:
            raise ValueError(hint) from None
        if count < 1:
            raise ValueError(hint)
        return cls(seed, count=count)


@frozen
class Chosen:
    """The keys of a sample, by their rank."""

    seed: str
    bound: int

    def holds(self, key: str) -> bool:
        """Whether a key is in the sample."""
        return _rank(self.seed, key) < self.bound


def choose(sample: Sample, keys: Iterable[str]) -> Chosen:
    """Choose a sample.

    A share does not read the keys. A count takes the keys with the lowest ranks, which needs one
    pass over all keys, and memory for that many ranks.

    Args:
        sample: Its size.
        keys: All keys; read only for a count.
    """
    if sample.share is not None:
        return Chosen(sample.seed, ceil(sample.share * (1 << _BITS)))
    lowest = _Lowest(sample.count or 0)
    for key in keys:
        lowest.add(_rank(sample.seed, key))
    return Chosen(sample.seed, lowest.bound())


@define
class _Lowest:
    """Keeps the lowest of many ranks."""

    count: int
    _ranks: list[int] = field(init=False, factory=list)  # negative: heapq has the least on top

    def add(self, rank: int) -> None:
        if len(self._ranks) < self.count:
            heapq.heappush(self._ranks, -rank)
        elif -rank > self._ranks[0]:
            heapq.heapreplace(self._ranks, -rank)

    def bound(self) -> int:
        return 1 - self._ranks[0] if len(self._ranks) == self.count else 1 << _BITS


def _rank(seed: str, key: str) -> int:
    """Return a number that is uniform over keys, and the same on every machine."""
    text = f"{seed}\0{key}".encode(errors="surrogateescape")
    return int.from_bytes(blake2b(text, digest_size=_BITS // 8).digest())
