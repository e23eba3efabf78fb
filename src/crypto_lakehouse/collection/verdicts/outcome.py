"""The outcome for one archive, before it becomes an event."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from crypto_lakehouse.collection.verdicts.verdict_rules import Decision
from crypto_lakehouse.core.events import UnrecordedVersion
from crypto_lakehouse.core.object_facts import NO_FACTS, ObjectFacts

__all__ = ["ArchiveOutcome"]


@frozen(kw_only=True)
class ArchiveOutcome:
    """A decision, with the facts that the ledger keeps.

    Attributes:
        facts: What is known about the bytes; without a mark if no file was stored or proven.
        change, kept_as, unrecorded, stands, seen, accepted: As in `ArchiveFinished`.
        unavailable: Whether it failed because the source was unavailable, at least in the end.
    """

    decision: Decision
    facts: ObjectFacts = NO_FACTS
    change: str = ""
    kept_as: str = ""
    unrecorded: UnrecordedVersion | None = None
    stands: bool = False
    seen: bool = False
    accepted: bool = False
    unavailable: bool = False

    def learned(self, **facts: Any) -> ArchiveOutcome:
        """Return the same outcome with some new facts."""
        return evolve(self, facts=self.facts._replace(**facts))
