"""Plans the excerpts of recordings on days that no archive and no fill has.

Most excerpts of a series and day follow one another, and are read alone: what they cost does not
depend on the rest of the day. Those whose keys overlap, as two recordings have the same rows, are
merged. Rows that are in the table are taken from there: a key that several excerpts have brings all
of them into one merge, and the rows of the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field

from crypto_lakehouse.core.archive import Archive, Origin
from crypto_lakehouse.tables.ingest.provenance import Standing
from crypto_lakehouse.tables.reading.batch import Source

__all__ = ["Overlap", "are_excerpts", "may_have_rows_of", "overlaps_of", "read_again"]

_Keys = tuple[Any, Any] | None
"""The smallest and the largest key; None if they are not known."""


@define
class Overlap:
    """Excerpts that may have keys in common.

    Attributes:
        keys: The range of the keys of `changed`.
        changed: Those in a version that the lake does not have.
        known: How others stand whose rows are in the table, and earlier versions of `changed`.
    """

    keys: _Keys
    changed: list[Source] = field(factory=list)
    known: dict[str, Standing] = field(factory=dict)

    def plus(self, other: Overlap) -> Overlap:
        """Join two."""
        both = self.keys, other.keys
        keys = None if both[0] is None or both[1] is None else _around(both[0], both[1])
        return Overlap(keys, self.changed + other.changed, self.known | other.known)


def _around(one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[Any, Any]:
    return min(one[0], other[0]), max(one[1], other[1])


def _meets(one: _Keys, other: _Keys) -> bool:
    return one is None or other is None or (one[0] <= other[1] and other[0] <= one[1])


def are_excerpts(archives: Iterable[Archive]) -> bool:
    """Whether all of some archives are excerpts."""
    return all(archive.origin is Origin.LIVE for archive in archives)


def overlaps_of(changed: Iterable[Source], known: Mapping[str, Standing]) -> Iterator[Overlap]:
    """Divide excerpts of one series by their keys; each has one day, unless its rows have none.

    Args:
        changed: Excerpts in a version that the lake does not have.
        known: How excerpts of these days stand, by key.

    Yields:
        Excerpts of which none has a key in common with a changed one of another `Overlap`.
    """
    new = {each.archive.key: each for each in changed}
    groups = _clusters(new.values())
    for key, standing in known.items():
        if key not in new and standing.state == "ingested" and standing.rows:
            groups = _with_known(groups, key, standing)
    for overlap in groups:
        overlap.changed.sort(key=lambda each: each.archive.segment)
        here = {each.archive.key for each in overlap.changed}
        overlap.known.update((key, known[key]) for key in here & known.keys())
        yield overlap


def may_have_rows_of(source: Source, standing: Standing) -> bool:
    """Whether an excerpt of the table may have keys of another one."""
    return _meets(source.keys, _keys_of(standing, source.keys))


def read_again(
    changed: Iterable[Source], known: Mapping[str, Standing]
) -> tuple[frozenset[str], frozenset[str]]:
    """Choose what is merged with excerpts of which the lake has another version.

    Args:
        changed: Excerpts of one series, whose new versions may lack rows.
        known: How excerpts of the series stand, by key.

    Returns:
        The keys of excerpts that may have these rows, and gave way to them: they are read again;
        and of those that may have other rows of these, and are taken from the table.
    """
    new = {each.archive.key: each.keys for each in changed}
    like = next((keys for keys in new.values() if keys is not None), None)
    there = {key: _keys_of(standing, like) for key, standing in known.items()}
    wholes = [*new.values(), *(there[key] for key in new.keys() & there.keys())]
    others = {key: keys for key, keys in there.items() if key not in new}
    near = {key for key, keys in others.items() if any(_meets(keys, each) for each in wholes)}
    beyond = {
        key
        for key, keys in others.items()
        if key not in near and any(_meets(keys, others[each]) for each in near)
    }
    return frozenset(near), frozenset(beyond)


def _clusters(changed: Iterable[Source]) -> list[Overlap]:
    """Join excerpts whose keys overlap, in the order of their keys."""
    single = [Overlap(each.keys, [each]) for each in changed]
    if any(each.keys is None for each in single):
        return [_joined(single)]
    groups: list[Overlap] = []
    for each in sorted(single, key=lambda one: one.keys or ()):
        if groups and _meets(groups[-1].keys, each.keys):
            groups[-1] = groups[-1].plus(each)
        else:
            groups.append(each)
    return groups


def _with_known(groups: list[Overlap], key: str, standing: Standing) -> list[Overlap]:
    """Add an excerpt of the table to the groups that it overlaps, which become one."""
    keys = _keys_of(standing, groups[0].keys)
    met = [each for each in groups if _meets(each.keys, keys)]
    if not met:
        return groups
    joined = _joined(met)
    joined.known[key] = standing
    return [*(each for each in groups if each not in met), joined]


def _joined(groups: list[Overlap]) -> Overlap:
    whole = groups[0]
    for each in groups[1:]:
        whole = whole.plus(each)
    return whole


def _keys_of(standing: Standing, like: _Keys) -> _Keys:
    """The keys of an excerpt of the table: its ids, or its times, as those of others."""
    of_ids = like is not None and isinstance(like[0], int)
    first = standing.first_id if of_ids else standing.first_at
    last = standing.last_id if of_ids else standing.last_at
    return None if first is None or last is None else (first, last)
