"""The time by the clock of an object store, which dates its objects."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient

__all__ = ["store_time"]

_FOLDER = ".lakehouse/probe/"


def store_time(client: ObjectClient) -> datetime:
    """Return the time that a store gives to an object that is written now; blocking.

    An object below `.lakehouse/probe/` is made for that, and removed. Its time is that of a
    listing, as is that of the objects with which it is compared; many stores cut it to seconds.

    Raises:
        StoreError: The store fails, or does not list the object.
    """
    key = f"{_FOLDER}{uuid4().hex}"
    try:
        client.put(key, b"1")
        for info in client.objects(_FOLDER):
            if info.key == key:
                return datetime.fromtimestamp(info.written_ns / 1e9, UTC)
        reason = "it was written, and is not in the listing of its folder; run again"
        raise StoreError(client.place(key), reason)
    finally:
        with suppress(StoreError):
            client.delete(key)
