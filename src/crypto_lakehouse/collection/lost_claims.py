"""Claims that a run has lost for a time: another run may have done their work meanwhile.

The connection that holds a run's claims can be lost, as while the run is suspended. Before each
request for an archive the run checks that it has not been; otherwise it takes the claims again, and
reads ledger and store again for each archive that is still to be done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio import from_thread, to_thread
from attrs import define, field

from crypto_lakehouse.collection.inventory import FolderState, Inventory
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.ledger_protocols import Claims
from crypto_lakehouse.core.protocols import Emit

__all__ = ["ClaimLost", "LostClaims", "claim_check"]


class ClaimLost(Exception):
    """The claim on an archive was lost before a request for it, and is taken again."""


def claim_check(claims: Claims) -> Callable[[Archive], Awaitable[None]]:
    """Return what is called before each request for an archive, with the archive.

    It raises ClaimLost if `LostClaims.still_to_do` must decide on the archive first.
    """

    async def check(archive: Archive) -> None:
        key = archive.key
        if claims.is_sure(key):
            return
        if await to_thread.run_sync(claims.lost, [key], from_thread.check_cancelled):
            raise ClaimLost(key)

    return check


@define
class LostClaims:
    """Decides again on work whose claim was lost.

    Args:
        claims: The claims of the run.
        inventory: Says what is to be done about each archive.
        emit: Takes the verdicts on archives that are done.
    """

    claims: Claims
    inventory: Inventory
    emit: Emit
    _losses: int = field(init=False, default=0)
    #: What was read since then: this run has the claims again, so no other run changes it.
    _folders: dict[str, FolderState] = field(init=False, factory=dict)
    _alone: anyio.Lock = field(init=False, factory=anyio.Lock)

    async def still_to_do(self, work: Sequence[Work]) -> Sequence[Work]:
        """Return the work that no other run has done meanwhile, after a verdict on the rest.

        Raises:
            LedgerError: Another run has a claim now, or the ledger cannot be read.
            StoreError: The store fails, and would fail for every other archive, too.
        """
        if all(self.claims.is_sure(item.archive.key) for item in work):
            return work
        async with self._alone:
            done, left = await to_thread.run_sync(self._sort, work)
        if done:
            await self.emit(done)
        return left

    def _sort(self, work: Sequence[Work]) -> tuple[list[Event], list[Work]]:
        keys = [item.archive.key for item in work]
        lost = frozenset(self.claims.lost(keys, from_thread.check_cancelled))
        losses = self.claims.losses
        if losses != self._losses:
            self._losses, self._folders = losses, {}
        self.claims.reads_again(lost, losses)
        done: list[Event] = []
        left: list[Work] = []
        for item in work:
            outcome = item
            if item.archive.key in lost:
                found = self.inventory.judge_again(item.planned, self._folders)
                if not isinstance(found, Work):
                    done.append(found)
                    continue
                outcome = found
            left.append(outcome)
        return done, left
