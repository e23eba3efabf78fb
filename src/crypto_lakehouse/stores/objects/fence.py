"""Keep a run that has lost its lease from replacing what the next holder has stored.

A run that was suspended does not know, when it goes on, that another one has taken the lease over.
So a store with a fence writes like this:

1. Before each write, the run looks at its own clock (no request).
2. An object is created on the condition that there is none (If-None-Match).
3. If there is one, the run asks for its version, and reads the lease object after that. If this
   still names the run, the version is not that of a later holder. It is replaced on the condition
   that it is still there (If-Match).
4. What has no condition (the end of an upload in parts, a copy, a removal) follows a look at the
   lease object.

What remains: a run that is suspended between the look of step 4 and its request can replace or
remove what the next holder has stored, by that request alone. A run that is suspended in step 2 or
3 can store a verified version of what the next holder has not stored yet; the write of that holder
is refused then, and it looks at what is there, and replaces it.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from crypto_lakehouse.core.errors import LostLockError, StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.objects.lease import LEASE_KEY, current_holder
from crypto_lakehouse.stores.objects.object_info import ObjectInfo

__all__ = ["SHA256", "Fence"]

#: The metadata of a small object that has its digest.
SHA256 = "sha256"

#: How often an object is looked at that others replace at the same moment.
_MOST_LOOKS = 5


def _unknown() -> None:
    """Say nothing: a worker does not know how long the lease of its run lasts."""


@frozen
class Fence:
    """Writes to one prefix for the run that holds its lease; every method blocks.

    Args:
        client: The prefix; its store must honour conditions.
        holder: The run, as in `Lease.holder`.
        check: Raises StoreError if the time of the lease is over; needs no request.
    """

    client: ObjectClient = field(repr=False)
    holder: str
    check: Callable[[], None] = field(default=_unknown, repr=False)

    def confirm(self) -> None:
        """Check that the run holds the lease, by one request.

        Raises:
            LostLockError: It does not, and must end.
            StoreError: The store fails.
        """
        self.check()
        if current_holder(self.client) != self.holder:
            reason = (
                "another run has taken over the lease of this one, which was suspended or could "
                "not renew it; what is stored already stays; run again"
            )
            raise LostLockError(self.client.place(LEASE_KEY), reason)

    def put(self, key: str, data: bytes, sha256: str, *, replaces: bool) -> ObjectInfo:
        """Store a small object with its digest, but not in place of a later holder's.

        Args:
            key: Its key.
            data: Its bytes.
            sha256: Their digest.
            replaces: Whether there is an object already, as far as is known. It saves a request
                that is refused; an object that has these bytes is replaced nevertheless.

        Returns:
            What was stored, or what another writer stored meanwhile, if it has the same bytes.

        Raises:
            LostLockError: The lease is lost.
            StoreError: The store fails.
        """
        found = self._look(key) if replaces else None
        for _ in range(_MOST_LOOKS):
            self.check()
            etag = None if found is None else found[0].etag
            try:
                return self.client.put_if(key, data, etag=etag, **{SHA256: sha256})
            except ConditionFailed:
                found = self._look(key)
            if found is not None and found[1].get(SHA256) == sha256:
                return found[0]
        reason = (
            f"the store has refused {_MOST_LOOKS} writes, as the object was another one each time: "
            "let no other program write there, and run again"
        )
        raise StoreError(self.client.place(key), reason)

    def _look(self, key: str) -> tuple[ObjectInfo, dict[str, str]] | None:
        """Return an object that no later holder has stored, with its metadata."""
        found = self.client.metadata(key)
        self.confirm()
        return found
