"""The ledger of a directory that has none: nothing is known of any archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager

from attrs import frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.fills import FillRow
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.place import LedgerPlace, RunLedger

__all__ = ["EmptyLedger", "ledger_if_any"]


@frozen
class EmptyLedger:
    """Answers as a ledger without rows; see `RunLedger`."""

    async def archives_of(self, _verdicts: Iterable[Verdict]) -> list[Archive]:
        """No archives."""
        return []

    async def has_verified(self, _prefix: str) -> bool:
        """No archives."""
        return False

    async def rows(self, _folder: str) -> Mapping[str, LedgerRow]:
        """No rows."""
        return {}

    def rows_now(self, _folder: str) -> Mapping[str, LedgerRow]:
        """No rows."""
        return {}

    def verified_now(self, _folder: str) -> Mapping[str, tuple[int, int]]:
        """No verified archives."""
        return {}

    def fills_now(self, _folder: str) -> Mapping[str, FillRow]:
        """No segments."""
        return {}

    def objects_now(self, _folder: str) -> Mapping[str, ObjectFacts]:
        """No objects."""
        return {}

    def parts_now(self, _folder: str) -> Mapping[str, ObjectFacts]:
        """No unfinished bodies."""
        return {}


@contextmanager
def ledger_if_any(ledger: LedgerPlace) -> Iterator[RunLedger | EmptyLedger]:
    """Open a ledger for reading; an empty one if there is none; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    if not ledger.exists():
        yield EmptyLedger()
        return
    with closing(ledger.open_read_only()) as opened:
        yield opened
