"""Claims of series, so that runs on several machines divide a plan.

A claim is an advisory lock of the run's session: the server frees it when the run is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from threading import Lock

from attrs import define, field

from crypto_lakehouse.ledger.place import do_nothing
from crypto_lakehouse.ledger.postgres.server import lock_key
from crypto_lakehouse.ledger.postgres.session import Session

__all__ = ["SeriesClaims"]


@define
class SeriesClaims:
    """The claims of one run; see `Claims`.

    Args:
        session: Holds the locks.
        output: What identifies the output, and the schema.
    """

    session: Session
    output: tuple[str, ...]
    _claims: dict[str, set[str]] = field(init=False, factory=dict)
    _names: dict[str, str] = field(init=False, factory=dict)
    #: How often the locks were lost before the ledger was read for a series, or for an archive.
    _read_at: dict[str, int] = field(init=False, factory=dict)
    _mutex: Lock = field(init=False, factory=Lock)

    def take(self, name: str) -> bool:
        """Claim a series, unless another run has; blocking.

        Raises:
            LedgerError: The server cannot be reached, or refuses.
        """
        is_taken = self.session.take(self._key(name))
        if is_taken:
            self._read_at[name] = self.session.losses
        return is_taken

    def works_on(self, name: str, keys: Collection[str]) -> None:
        """Say which archives of a claimed series have work; without any the claim ends; blocking.

        Raises:
            LedgerError: As `take`.
        """
        read_at = self._read_at.pop(name)
        if not keys:
            self.session.drop(self._key(name))
            return
        with self._mutex:
            self._claims[name] = set(keys)
            self._names.update(dict.fromkeys(keys, name))
            self._read_at.update(dict.fromkeys(keys, read_at))

    @property
    def losses(self) -> int:
        """How often the locks were lost, and taken again."""
        return self.session.losses

    def is_sure(self, key: str) -> bool:
        """Whether an archive was claimed without a break since the ledger was read for it.

        It does not ask the server, and does not wait. False may only mean that it must be asked.
        """
        losses = self.session.losses
        return self._read_at.get(key, losses) == losses and self.session.is_sure()

    def lost(
        self, keys: Collection[str], check: Callable[[], None] = do_nothing
    ) -> Collection[str]:
        """Return the archives whose claim was lost and taken again; blocking.

        Raises:
            LedgerError: As `take`, or another run has the claim now.
        """
        self.session.make_sure(check)
        losses = self.session.losses
        return [key for key in keys if self._read_at.get(key, losses) != losses]

    def reads_again(self, keys: Iterable[str], losses: int) -> None:
        """Say that the ledger is read again for archives, after so many losses."""
        with self._mutex:
            self._read_at.update((key, losses) for key in keys if key in self._names)

    def settled(self, keys: Iterable[str]) -> None:
        """Say which archives need no more work; a claim ends with the last of its own; blocking.

        Raises:
            LedgerError: As `take`.
        """
        ended = []
        with self._mutex:
            for key in keys:
                name = self._names.pop(key, None)
                self._read_at.pop(key, None)
                if name is None:
                    continue
                self._claims[name].discard(key)
                if not self._claims[name]:
                    del self._claims[name]
                    ended.append(name)
        for name in ended:
            self.session.drop(self._key(name))

    def _key(self, name: str) -> int:
        return lock_key("series", *self.output, name)
