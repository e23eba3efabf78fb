"""The protocols of ledgers, and of the claims of runs that share one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["Claims", "InventoryLedger", "Ledger", "LedgerRow"]


class LedgerRow(NamedTuple):
    """What the ledger knows of one archive: of the version that is stored, if one is.

    Attributes:
        newer: The verdict on a newer version that could not take the stored one's place.
        accepted: Whether a policy let the bytes in although the sidecar disagrees.
        newer_etag, newer_sidecar_etag: Of the newer version.
    """

    verdict: Verdict
    facts: ObjectFacts
    newer: Verdict | None = None
    accepted: bool = False
    newer_etag: str | None = None
    newer_sidecar_etag: str | None = None


class Ledger(Protocol):
    """What earlier runs have found out; only the ledger's own sink writes to it."""

    async def rows(self, folder: str) -> Mapping[str, LedgerRow]:
        """Return everything known about the archives in a key prefix, by file name."""
        ...


class InventoryLedger(Ledger, Protocol):
    """A ledger with the blocking methods that a run's producer calls in a worker thread."""

    def rows_now(self, folder: str) -> Mapping[str, LedgerRow]:
        """As `rows`; blocking."""
        ...

    def verified_now(self, folder: str) -> Mapping[str, tuple[int, int]]:
        """Return size and mark of verified archives, as in `FolderScan.zips`; blocking.

        Archives with a refused newer version are left out. A second run needs no more for nearly
        every archive, and this costs a fraction of `rows`.
        """
        ...

    def objects_now(self, folder: str) -> Mapping[str, ObjectFacts]:
        """Return size, ETags and date of the objects in `verified_now`; blocking."""
        ...

    def parts_now(self, folder: str) -> Mapping[str, ObjectFacts]:
        """Return size, ETag and date of unfinished bodies in a key prefix, by name; blocking."""
        ...


class Claims(Protocol):
    """Divides series between runs that work on one output at the same time; blocking.

    A claim ends when the ledger has a verdict on each archive of it, or with the run, however that
    ends. Every method raises LedgerError if claims cannot be made or kept.
    """

    def take(self, name: str) -> bool:
        """Claim a series, unless another run has claimed it.

        Args:
            name: What every run calls the series.
        """
        ...

    def works_on(self, name: str, keys: Collection[str]) -> None:
        """Say which archives of a claimed series have work; without any the claim ends."""
        ...

    @property
    def losses(self) -> int:
        """How often the claims were lost, and taken again."""
        ...

    def is_sure(self, key: str) -> bool:
        """Whether an archive was claimed without a break since the ledger was read for it.

        Not blocking. False may only mean that `lost` has to find it out.
        """
        ...

    def lost(self, keys: Collection[str], check: Callable[[], None]) -> Collection[str]:
        """Return the archives whose claim was lost and taken again since then.

        Another run may have had the claim meanwhile, so the ledger must be read again.

        Args:
            keys: Archives of claimed series.
            check: Called repeatedly while claims cannot be taken again; may raise to give up.
        """
        ...

    def reads_again(self, keys: Iterable[str], losses: int) -> None:
        """Say that the ledger is read again for archives, after so many losses."""
        ...

    def settled(self, keys: Iterable[str]) -> None:
        """Say which archives have a verdict that the ledger has, or need not have."""
        ...
