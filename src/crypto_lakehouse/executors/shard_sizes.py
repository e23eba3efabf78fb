"""How many archives a shard may have, by how long shards of the same kind took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from attrs import define, field

from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.archive import DataType, Market, Partition

__all__ = ["ShardSizes"]

#: A shard should have its verdicts this many seconds after it was assigned.
WANTED_S = 1.0

#: A shard has at most this many times the archives of the one that it is measured by.
_GROWTH = 16

#: Archives whose sizes are alike.
_Kind: TypeAlias = tuple[Market, DataType, str | None, Partition]


@define
class ShardSizes:
    """Learns how many archives of each kind are settled in a second.

    A shard costs a cluster several milliseconds of processor time, which small archives take
    themselves; but one that takes long leaves other workers idle at the end.

    Args:
        largest: How many archives a shard has at most.
    """

    largest: int
    _sizes: dict[_Kind, int] = field(init=False, factory=dict)

    def of(self, work: Work) -> int:
        """Return how many archives like this one a shard may have; 0 if nothing is known."""
        return self._sizes.get(_kind(work), 0)

    def learn(self, work: Sequence[Work], seconds: float) -> None:
        """Note how long a shard took, from its assignment to its last verdict."""
        kinds = {_kind(each) for each in work}
        grown = _GROWTH * len(work)
        wanted = grown if seconds <= 0 else min(grown, int(len(work) * WANTED_S / seconds))
        for kind in kinds:
            self._sizes[kind] = min(self.largest, wanted)


def _kind(work: Work) -> _Kind:
    series, period = work.archive.series, work.archive.period
    return series.market, series.data_type, series.interval, period.partition
