"""Copies of a run's ledger in its object store: fetched at the start if the ledger is lost."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.errors import LedgerError, StoreError
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.ledger.packing import CopyDamaged, pack, unpack
from crypto_lakehouse.stores.objects.conditions import knows_conditions
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.objects.ledger_copy import LedgerCopy
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.stores.os_errors import what_to_do
from crypto_lakehouse.stores.state import StateFolder
from crypto_lakehouse.workflows.wiring.copy_pace import CopyPace

__all__ = ["LedgerCopies", "ledger_copies"]

_log = logging.getLogger(__name__)

#: How often a run looks whether a copy is due, in seconds.
_LOOKS_EVERY_S = 1.0


def ledger_copies(state: StateFolder, store: Store) -> LedgerCopies | None:
    """Return what copies an output's ledger; None for a directory; blocking.

    The caller must hold the local lock, and the lease if there is one.

    Raises:
        StoreError: The store fails.
    """
    if not isinstance(store, ObjectStore):
        return None
    has_conditions = knows_conditions(store.client, state.conditions)
    return LedgerCopies(state, LedgerCopy(store.client, state.ledger_copy, has_conditions))


@define
class LedgerCopies:
    """The copies of one run's ledger.

    Args:
        state: The folder of the ledger.
        copy: Is in the object store.
        clock: Seconds since some moment.

    Attributes:
        is_foreign: Whether the copy in the store is that of another machine, and stays.
        is_restored: Whether the ledger is the copy.
    """

    state: StateFolder
    copy: LedgerCopy
    clock: Callable[[], float] = time.monotonic
    is_foreign: bool = field(init=False, default=False)
    is_restored: bool = field(init=False, default=False)

    def restore(self) -> list[str]:
        """Fetch the copy if there is no ledger; blocking, and before the ledger is opened.

        Returns:
            Remarks for the user.

        Raises:
            LedgerError: The copy was written by a later version of this program.
            StoreError: The store fails.
            OSError: The ledger cannot be written.
        """
        shutil.rmtree(self.state.path / "copying", ignore_errors=True)  # of a run that was killed
        if self.state.ledger.exists():
            self.is_foreign = self.copy.is_foreign()
            return [self._foreign()] if self.is_foreign else []
        with self._folder() as folder:
            packed = folder / "ledger.sqlite.gz"
            if not self.copy.fetch(packed):
                return []
            try:
                unpack(packed, self.copy.place).rename(self.state.ledger)
            except CopyDamaged as error:
                aside = self.copy.set_aside()
                return [
                    f"there is no ledger here, and its copy in the store is damaged ({error}); it "
                    f"is kept as `{aside}`, and what the store has is checked"
                ]
        self.is_restored = True
        return [f"there was no ledger here; its copy was fetched from `{self.copy.place}`"]

    def keep_earlier(self) -> list[str]:
        """Keep the copy of a ledger that was damaged and rebuilt; blocking, after it was opened.

        The next copy is that of the rebuilt ledger, and lacks what could not be read.

        Returns:
            Remarks for the user.

        Raises:
            StoreError: The store fails.
        """
        if self.is_foreign:
            return []
        aside = self.copy.set_aside("damaged" if self.is_restored else "earlier")
        if not aside:
            return []
        what = "the damaged copy" if self.is_restored else "the copy from before the damage"
        return [f"{what} in the store is kept as `{aside}`"]

    def _foreign(self) -> str:
        path = self.state.path
        return (
            f"the copy of the ledger, `{self.copy.place}`, is of another machine, and stays; to "
            f"go on from it, move `{path}` away and run again"
        )

    def make(self) -> tuple[int, str]:
        """Copy the ledger; blocking.

        Returns:
            The bytes of the copy, and why there is none, which is empty if there is one.
        """
        if self.is_foreign:
            return 0, ""  # the run has said so at its start
        try:
            with self._folder() as folder:
                return self.copy.put(pack(self.state.ledger, folder)), ""
        except ConditionFailed:
            self.is_foreign = True
            return 0, self._foreign()
        except (LedgerError, StoreError) as error:
            reason = str(error)
        except OSError as error:
            reason = what_to_do(error, str(self.state.path))
        return 0, f"the ledger could not be copied to the store: {reason}"

    async def keep(self, moved_bytes: Callable[[], int]) -> None:
        """Copy the ledger while a run goes on, as often as is cheap; ends when it is cancelled.

        Args:
            moved_bytes: Returns the bytes that the run has received.
        """
        began = self.clock()
        pace = CopyPace(self.state.ledger.stat().st_size)
        while not self.is_foreign:
            await anyio.sleep(_LOOKS_EVERY_S)
            if pace.is_due(self.clock() - began, moved_bytes()):
                start = self.clock()
                size_bytes, problem = await to_thread.run_sync(self.make)
                pace.add(self.clock() - began, self.clock() - start, size_bytes)
                if problem:
                    _log.warning("%s", problem)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Give an empty folder; what a killed run has left in it is removed."""
        folder = self.state.path / "copying"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
