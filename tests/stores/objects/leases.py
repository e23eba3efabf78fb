"""Leases for tests: a clock that is set, and the object as it is in the store."""

from __future__ import annotations

import json
from typing import Any

from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.lease import LEASE_KEY


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(client: ObjectClient) -> dict[str, Any]:
    """Return what the lease object says."""
    found: dict[str, Any] = json.loads(client.read(LEASE_KEY) or b"")
    return found


def leave(client: ObjectClient, **facts: Any) -> None:
    """Leave the lease of a run that does not go on."""
    found = {"holder": "dead", "host": "a\x1bb", "process": 7, "run": "r", "lease_seconds": 10}
    client.put(LEASE_KEY, json.dumps({**found, **facts}).encode())
