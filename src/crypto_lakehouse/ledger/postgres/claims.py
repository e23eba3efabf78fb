"""Claims of series, so that runs on several machines divide a plan.

A claim is an advisory lock of the run's session: the server frees it when the run is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from threading import Lock

from attrs import define, field

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
    _mutex: Lock = field(init=False, factory=Lock)

    def take(self, name: str) -> bool:
        """Claim a series, unless another run has; blocking.

        Raises:
            LedgerError: The server cannot be reached, or refuses.
        """
        return self.session.take(self._key(name))

    def works_on(self, name: str, keys: Collection[str]) -> None:
        """Say which archives of a claimed series have work; without any the claim ends; blocking.

        Raises:
            LedgerError: As `take`.
        """
        if not keys:
            self.session.drop(self._key(name))
            return
        with self._mutex:
            self._claims[name] = set(keys)
            self._names.update(dict.fromkeys(keys, name))

    def settled(self, keys: Iterable[str]) -> None:
        """Say which archives need no more work; a claim ends with the last of its own; blocking.

        Raises:
            LedgerError: As `take`.
        """
        ended = []
        with self._mutex:
            for key in keys:
                name = self._names.pop(key, None)
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
