"""Mark the verdicts that a user expects, and remark on expectations that are out of date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import define, evolve, field

from crypto_lakehouse.core.acknowledged import ACKNOWLEDGEABLE, Acknowledged
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchivesUnchanged,
    Event,
    RunNoted,
    RunWarned,
)
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict

__all__ = ["Acknowledging"]

#: How many archives a remark names.
_NAMED = 10


@define
class Acknowledging:
    """Reads the verdicts of a run, and marks those that are acknowledged.

    An archive is requested all the same. If it is good now, its acknowledgement can go.

    Args:
        acknowledged: The archives that the user named.
    """

    acknowledged: Acknowledged
    _settled: set[str] = field(init=False, factory=set)
    _good: dict[str, None] = field(init=False, factory=dict)
    _folders: frozenset[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._folders = frozenset(f"{key.rpartition('/')[0]}/" for key in self.acknowledged.keys)

    def marking(self, emit: Emit) -> Emit:
        """Return an `emit` that passes events on, with acknowledged verdicts marked."""
        if not self.acknowledged:
            return emit

        async def mark_and_emit(events: Sequence[Event]) -> None:
            await emit([self._marked(event) for event in events])

        return mark_and_emit

    def _marked(self, event: Event) -> Event:
        if isinstance(event, ArchivesUnchanged) and event.folder in self._folders:
            for each in event.each():
                self._record(each)
        if not isinstance(event, ArchiveFinished):
            return event
        self._record(event)
        is_hole = event.verdict in ACKNOWLEDGEABLE and not event.stands
        if is_hole and self.acknowledged.holds(event.archive.key):
            return evolve(event, acknowledged=True)
        return event

    def _record(self, event: ArchiveFinished) -> None:
        key = event.archive.key
        is_named = key in self.acknowledged.keys
        if is_named:
            self._settled.add(key)
        # A glob may be meant for other archives; only news of it is worth a remark.
        arrived = event.verdict is Verdict.VERIFIED and self.acknowledged.holds(key)
        if arrived or (is_named and event.verdict in SUCCESSES):
            self._good[key] = None

    def remarks(self, is_selected: Callable[[Archive], bool] | None) -> list[Event]:
        """Return what the user should know about the acknowledgements at the end of a run.

        Args:
            is_selected: Whether a run should have planned an archive; None if the plan is not
                known to be complete.
        """
        remarks: list[Event] = []
        if self._good:
            message = f"acknowledged, and verified now: {_names(self._good)}; remove what "
            message += "names them from `acknowledge` or `holes_path`"
            remarks.append(RunWarned(message=message))
        if is_selected is not None:
            left = sorted(self.acknowledged.keys - self._settled)
            if unplanned := [key for key in left if is_selected(Archive.published(key))]:
                message = f"acknowledged, but not part of the plan: {_names(unplanned)}"
                remarks.append(RunNoted(message=message))
        return remarks


def _names(keys: Iterable[str]) -> str:
    every = list(keys)
    more = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f" and {more} more" if more > 0 else "")
