"""Find out whether an object store honours conditions: If-None-Match and If-Match.

Some servers accept such a request and ignore its condition. A lease on one of them would be held by
two runs at once, so a store is tested before it is relied on.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.state_note import recall, remember

__all__ = ["honours_conditions", "knows_conditions"]

_FOLDER = ".lakehouse/probe/"

#: No object has this ETag.
_NO_VERSION = "0" * 32

#: How a store answers that does not know conditions, and says so.
_NOT_IMPLEMENTED = "NotImplemented"


def knows_conditions(client: ObjectClient, path: Path) -> bool:
    """As `honours_conditions`, but the store is only asked the first time; blocking.

    Args:
        client: The prefix of the output.
        path: The file that remembers the answer.

    Raises:
        StoreError: The store fails.
    """
    place = client.identity
    known = recall(path)
    for answer in (True, False):
        if known == {**place, "conditions": answer}:
            return answer
    found = honours_conditions(client)
    remember(path, {**place, "conditions": found})
    return found


def honours_conditions(client: ObjectClient) -> bool:
    """Whether a store refuses to write an object if a condition is not met; blocking.

    An object below `.lakehouse/probe/` is made for that, and removed.

    Raises:
        StoreError: The store fails.
    """
    key = f"{_FOLDER}{uuid4().hex}"
    try:
        return _honours(client, key)
    except StoreError as error:
        if _NOT_IMPLEMENTED not in error.reason:
            raise
        return False
    finally:
        with suppress(StoreError):  # archives can be stored without the right to delete
            client.delete(key)


def _honours(client: ObjectClient, key: str) -> bool:
    with suppress(ConditionFailed):  # of an attempt whose answer was lost
        client.put_if(key, b"1", etag=None)
    if not (_is_refused(client, key, None) and _is_refused(client, key, _NO_VERSION)):
        return False
    info = client.head(key)
    return info is not None and not _is_refused(client, key, info.etag)


def _is_refused(client: ObjectClient, key: str, etag: str | None) -> bool:
    try:
        client.put_if(key, b"2", etag=etag)
    except ConditionFailed:
        return True
    return False
