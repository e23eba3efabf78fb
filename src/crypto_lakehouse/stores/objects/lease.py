"""A lease: one run at a time works on a prefix of an object store, on whatever machine it runs.

It is an object, `.lakehouse/lease.json`, which says who holds it. A run makes it if there is none
(If-None-Match), and replaces it again and again as long as it works (If-Match). No clock of another
machine counts:

1. A holder believes in its lease for `lease_s` seconds from the moment at which it began its last
   request that succeeded. After that it ends its run.
2. Another run takes over only if it has watched one version of the object for twice as long, by its
   own clock, and only if that version is still there (If-Match). By then the holder has given up.

A holder that is suspended does not know that its time is over until it goes on, and then sends the
request that it had begun; `fence` keeps that from replacing what the next holder has stored.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from attrs import define, field, frozen

from crypto_lakehouse.core.errors import LockHeldError, StoreError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.objects.lease_memory import LeaseMemory

__all__ = ["LEASE_KEY", "LEASE_S", "Lease", "current_holder", "elapsed_s"]

LEASE_KEY = ".lakehouse/lease.json"

#: How long a lease lasts without being renewed.
LEASE_S = 60.0

#: What a lease of another run may last at most; a damaged one counts as `LEASE_S`.
_LONGEST_S = 3600.0

#: How many lease times another run watches before it takes over.
_WATCHED_TIMES = 2

#: How often the store is asked, at most, whether a lease that is held has changed.
_LOOKS_IN_A_LEASE = 12

_MOST_BYTES = 10_000


def elapsed_s() -> float:
    """Return seconds since some moment; time in which the machine was suspended counts as well."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


@frozen
class _Version:
    """One version of the lease object.

    Attributes:
        etag: Its ETag.
        holder: The one run that has written it; empty if it is damaged.
        lease_s: How long it lasts without being renewed.
        count: Which request of its holder has written it.
        is_released: Whether its holder has ended.
        name: The holder, for messages.
    """

    etag: str
    holder: str
    lease_s: float
    count: int
    is_released: bool
    name: str


@define
class Lease:
    """A lease on one prefix; its methods block, and are called by one thread at a time.

    Args:
        client: The prefix; its store must honour conditions.
        run_id: The run, for messages.
        memory: What earlier runs with the same state folder know.
        lease_s: How long it lasts without being renewed.
        clock: Seconds since some moment.
        holder: Distinguishes the run from all others.

    Attributes:
        takeover: From which run the lease was taken over that had not renewed it, for the user;
            empty if it was free.
    """

    client: ObjectClient = field(repr=False)
    run_id: str = ""
    memory: LeaseMemory = field(factory=LeaseMemory)
    lease_s: float = field(factory=lambda: LEASE_S)
    clock: Callable[[], float] = elapsed_s
    holder: str = field(factory=lambda: uuid4().hex)
    takeover: str = field(init=False, default="")
    _etag: str | None = field(init=False, default=None)
    _count: int = field(init=False, default=0)
    _ends_at: float = field(init=False, default=-math.inf)
    _refusal: LockHeldError | None = field(init=False, default=None)
    _looks_at: float = field(init=False, default=-math.inf)

    @property
    def left_s(self) -> float:
        """How long the lease is held for certain; 0 or less if it is not."""
        return self._ends_at - self.clock()

    @property
    def place(self) -> str:
        """The URL of the lease object."""
        return self.client.place(LEASE_KEY)

    def take(self) -> None:
        """Take the lease.

        Raises:
            LockHeldError: Another run holds it, or was killed not long ago.
            StoreError: The store fails.
        """
        if self._refusal is not None and self.clock() < self._looks_at:
            raise self._refusal  # the store was asked just now
        before = self.clock()
        found = _read(self.client)
        if found is not None and not self._is_free(found, before):
            raise self._refuse(found)
        takeover = self._takeover(found, before)
        self.memory.hold(self.holder)  # before the request, after which the run may be killed
        try:
            self._put(found.etag if found is not None else None)
        except ConditionFailed:
            raise self._refuse(_read(self.client)) from None
        self._refusal = None
        self.takeover = takeover

    def _takeover(self, found: _Version | None, now: float) -> str:
        """Return from which run the lease is taken over; empty if it was free."""
        since = None if found is None else self.memory.watched_since(found.etag, now)
        if found is None or found.is_released or since is None:
            return ""
        name = found.name or "another run"
        return (
            f"took over the lease `{self.place}` from {name}, which had not renewed it for "
            f"{math.floor(now - since)} s"
        )

    def _is_free(self, found: _Version, before: float) -> bool:
        if found.is_released or found.holder in {self.holder, *self.memory.dead_holders()}:
            return True
        since = self.memory.watched_since(found.etag, before)
        if since is None:
            self.memory.watch(found.etag, self.clock())
            return False
        return before - since >= _WATCHED_TIMES * found.lease_s

    def _refuse(self, found: _Version | None) -> LockHeldError:
        self._looks_at = self.clock() + self.lease_s / _LOOKS_IN_A_LEASE
        name, wait_s = "", _WATCHED_TIMES * self.lease_s
        if found is not None:
            now = self.clock()
            since = self.memory.watched_since(found.etag, now)
            watched_s = 0.0 if since is None else now - since
            name, wait_s = found.name, max(0.0, _WATCHED_TIMES * found.lease_s - watched_s)
        remark = f"if that run was killed, the lease is free in {math.ceil(wait_s)} s"
        self._refusal = LockHeldError(self.place, name, remark)
        return self._refusal

    def renew(self) -> None:
        """Hold the lease for another `lease_s` seconds.

        Raises:
            ConditionFailed: The lease is lost, for ever.
            StoreError: The store fails; it may be tried again as long as `left_s` is positive.
        """
        if self.left_s <= 0:
            raise ConditionFailed(self.place, "it was not renewed in time")
        self._put(self._etag)

    def release(self) -> None:
        """Let the next run take the lease at once; does nothing if it is not held.

        Raises:
            StoreError: The store fails; the next run has to wait.
        """
        if self.left_s <= 0:
            return
        self.give_up()
        self._count += 1
        self.client.put_if(LEASE_KEY, self._text(is_released=True), etag=self._etag)
        self.memory.forget()

    def give_up(self) -> None:
        """Believe in the lease no more."""
        self._ends_at = -math.inf

    def _put(self, etag: str | None) -> None:
        """Write a version in place of another one."""
        self._count += 1
        began = self.clock()
        try:
            written = self.client.put_if(LEASE_KEY, self._text(), etag=etag).etag
        except StoreError as error:
            # The answer to the request, or to an attempt of the client, may have been lost.
            found = _read(self.client)
            if found is None or found.holder != self.holder:
                raise
            self._etag = written = found.etag
            if found.count != self._count:  # it is that of an earlier request
                if isinstance(error, ConditionFailed):
                    raise StoreError(self.place, "an answer of the store was lost") from error
                raise
        self._etag, self._ends_at = written, began + self.lease_s

    def _text(self, *, is_released: bool = False) -> bytes:
        record = {
            "holder": self.holder,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "run": self.run_id,
            "lease_seconds": self.lease_s,
            "count": self._count,
            "released": is_released,
        }
        return json.dumps(record).encode()


def current_holder(client: ObjectClient) -> str:
    """Return the `holder` of the lease on a prefix, by one request; empty if it is free; blocking.

    Raises:
        StoreError: The store fails.
    """
    found = _read(client)
    return "" if found is None or found.is_released else found.holder


def _read(client: ObjectClient) -> _Version | None:
    found = client.read_small(LEASE_KEY, _MOST_BYTES)
    return None if found is None else _version(found[0].etag, found[1] or b"")


def _version(etag: str, data: bytes) -> _Version:
    """Read a version; what is damaged is a lease that is held by a run without a name."""
    try:
        record = parse_finite(data)
    except ValueError:
        record = None
    if not isinstance(record, Mapping):
        record = {}
    holder, count, lease_s = record.get("holder"), record.get("count"), record.get("lease_seconds")
    is_number = type(lease_s) in {int, float} and 0 < lease_s <= _LONGEST_S
    return _Version(
        etag=etag,
        holder=holder if isinstance(holder, str) else "",
        lease_s=float(lease_s) if is_number else LEASE_S,
        count=count if isinstance(count, int) else 0,
        is_released=record.get("released") is True,
        name=_name(record),
    )


def _name(record: Mapping[str, Any]) -> str:
    host, process, run = (record.get(key) for key in ("host", "process", "run"))
    if not (isinstance(host, str) and isinstance(process, int)):
        return ""
    of_run = f" (run {shown(run)})" if isinstance(run, str) and run else ""
    return f"process {shown(str(process))} on {shown(host)}{of_run}"
