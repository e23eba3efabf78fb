"""The copy of a ledger in its object store, for the day on which the state folder is lost.

A copy replaces only the one that this state folder wrote or fetched: that of another machine stays.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import define, field

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.objects.object_info import ObjectInfo
from crypto_lakehouse.stores.state_note import recall, remember

__all__ = ["ASIDE_FOLDER", "COPY_KEY", "MOST_ASIDE", "MOST_BYTES", "LedgerCopy"]

COPY_KEY = ".lakehouse/ledger.sqlite.gz"

#: Larger copies are mapped, and never in memory as a whole.
_MOST_IN_MEMORY = 16 << 20

#: S3 stores no larger object by one request, which is how a copy is written.
MOST_BYTES = 5 << 30

#: Copies that were set aside, each by why and when.
ASIDE_FOLDER = ".lakehouse/ledger-copies/"

#: The keys that runs give them; other objects in the folder are never removed.
_ASIDE = re.compile(rf"{re.escape(ASIDE_FOLDER)}(?:damaged|earlier)-\d{{8}}T\d{{12}}\.sqlite\.gz")

#: So many copies that were set aside are kept.
MOST_ASIDE = 10

_OTHER = "another machine has written it since"


@define
class LedgerCopy:
    """The copy of one output's ledger; every method blocks.

    Args:
        client: The prefix of the output.
        note: The file in the state folder that remembers which copy it wrote or fetched.
        has_conditions: Whether the store honours conditions; else a copy is compared before it is
            replaced, which two machines can do at once.

    Attributes:
        is_there: Whether there is a copy, as far as is known.
    """

    client: ObjectClient
    note: Path
    has_conditions: bool
    is_there: bool = field(init=False, default=False)

    @property
    def place(self) -> str:
        """The URL of the copy."""
        return self.client.place(COPY_KEY)

    def is_foreign(self) -> bool:
        """Whether there is a copy that this state folder neither wrote nor fetched."""
        info = self._head()
        if info is None:
            return False
        known = self._known()
        if info.etag == known.get("etag"):
            return False
        if self._has_digest(info, known.get("pending")):  # the run was killed after the request
            self._remember(info.etag)
            return False
        return True

    def fetch(self, target: Path) -> bool:
        """Write the copy to a file, which must not exist; return whether there is one.

        Raises:
            StoreError: The store fails, the copy was replaced meanwhile, or it is larger than any
                copy that `put` can write.
        """
        info = self._head()
        if info is None:
            return False
        if info.size_bytes > MOST_BYTES:
            reason = (
                f"its size of {info.size_bytes:,} B is too large: it is no copy of a ledger, "
                f"which has at most {MOST_BYTES:,} B; move or remove it, and run again"
            )
            raise StoreError(self.place, reason, stops_run=True)
        with target.open("xb") as file:
            self.client.copy_to(file, info)
        self._remember(info.etag)
        return True

    def _head(self) -> ObjectInfo | None:
        info = self.client.head(COPY_KEY)
        self.is_there = info is not None
        if info is None:
            self._remember(None)
        return info

    def put(self, packed: Path) -> int:
        """Store a copy in place of the last one; return its size in bytes.

        Raises:
            ConditionFailed: There is a copy of another machine, which stays.
            StoreError: The store fails.
        """
        etag = self._known().get("etag")
        data = _bytes_of(packed)
        digest = hashlib.sha256(data).hexdigest()
        self._remember(etag, pending=digest)
        written = self._write(data, etag, digest)
        self._remember(written.etag)
        self.is_there = True
        return written.size_bytes

    def _write(self, data: bytes, etag: str | None, digest: str) -> ObjectInfo:
        try:
            if self.has_conditions:
                return self.client.put_if(COPY_KEY, data, etag=etag)
            info = self.client.head(COPY_KEY)
            if (None if info is None else info.etag) != etag:
                raise ConditionFailed(self.place, _OTHER)
            return self.client.put(COPY_KEY, data)
        except StoreError as error:
            info = self.client.head(COPY_KEY)  # the answer may have been lost
            if info is not None and self._has_digest(info, digest):
                return info
            if isinstance(error, ConditionFailed):
                raise ConditionFailed(self.place, _OTHER) from None
            raise

    def set_aside(self, why: str = "damaged") -> str:
        """Keep the copy under another key, as `put` is about to replace it.

        The last `MOST_ASIDE` that were set aside stay, and earlier ones are removed.

        Args:
            why: A word for the key.

        Returns:
            The URL under which it is kept; empty if there is no copy.

        Raises:
            StoreError: The store fails.
        """
        self.is_there = False
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        key = f"{ASIDE_FOLDER}{why}-{stamp}.sqlite.gz"
        try:
            self.client.copy(COPY_KEY, key)
        except FileNotFoundError:
            return ""
        with suppress(StoreError):  # without the right to list or to delete, all of them stay
            self._remove_oldest()
        return self.client.place(key)

    def _remove_oldest(self) -> None:
        found = {info.key for info in self.client.objects(ASIDE_FOLDER)}
        keys = sorted(filter(_ASIDE.fullmatch, found), key=lambda key: key.rpartition("-")[2])
        self.client.delete(*keys[:-MOST_ASIDE])

    def _has_digest(self, info: ObjectInfo, digest: object) -> bool:
        if not isinstance(digest, str):
            return False
        found = hashlib.sha256()
        for chunk in self.client.stream(info.key)[1]:
            found.update(chunk)
        return found.hexdigest() == digest

    def _remember(self, etag: str | None, **more: str) -> None:
        remember(self.note, {**self.client.identity, "etag": etag, **more})

    def _known(self) -> Mapping[str, Any]:
        found = recall(self.note)
        identity = self.client.identity
        return found if identity == {name: found.get(name, "") for name in identity} else {}


def _bytes_of(packed: Path) -> Any:
    with packed.open("rb") as file:
        if packed.stat().st_size <= _MOST_IN_MEMORY:
            return file.read()
        # It is not closed, as the client may need it for longer.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
