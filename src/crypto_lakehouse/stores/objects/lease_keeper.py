"""Keeps a lease while a run works: a thread renews it, whatever the event loop does meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

from attrs import define, field

from crypto_lakehouse.core.errors import LostLockError, StoreError
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.objects.lease import Lease

__all__ = ["LeaseKeeper"]

#: How often a lease is renewed while it lasts, and how often that is tried if the store fails.
_RENEWALS, _ATTEMPTS = 3, 12

#: How long the end of a run waits for a request under way.
_LAST_REQUEST_S = 5.0


@define
class LeaseKeeper:
    """Takes a lease, renews it, and releases it at the end.

    Args:
        lease: The lease.
        wait: Waits so many seconds, or until `stop` is called; returns whether it was.
    """

    lease: Lease
    _ended: Event = field(init=False, factory=Event)
    _wait: Callable[[float], bool] | None = None
    _thread: Thread | None = field(init=False, default=None)
    _failure: StoreError | None = field(init=False, default=None)

    def take(self) -> None:
        """Take the lease, and begin to renew it; blocking.

        Raises:
            LockHeldError, StoreError: As `Lease.take`.
        """
        self.lease.take()
        self._thread = Thread(target=self.run, name="lease", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Renew the lease until `stop` is called, or it is lost."""
        wait, pause_s = self._wait or self._ended.wait, self.lease.lease_s / _RENEWALS
        while not wait(pause_s):
            try:
                self.lease.renew()
            except ConditionFailed as error:
                self._failure = self._failure or error
                self.lease.give_up()
                return
            except StoreError as error:
                self._failure = error
                pause_s = self.lease.lease_s / _ATTEMPTS
            else:
                self._failure = None
                pause_s = self.lease.lease_s / _RENEWALS

    def check(self) -> None:
        """Check that the lease is held.

        Raises:
            LostLockError: It is not, and the run must end.
            StoreError: As well, because the store failed each time that it was to be renewed.
        """
        if self.lease.left_s <= 0:
            failure = self._failure
            why = f" ({failure.reason})" if failure is not None else ""
            reason = (
                f"this run could not renew its lease{why}, so that another run may work on the "
                "output now; what is stored already stays; run again"
            )
            if failure is None or isinstance(failure, ConditionFailed):
                raise LostLockError(self.lease.place, reason)
            code = failure.exit_code
            raise StoreError(self.lease.place, reason, stops_run=True, exit_code=code)

    def stop(self) -> None:
        """End renewing, and release the lease; the next run takes it at once; blocking."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_LAST_REQUEST_S)
            if self._thread.is_alive():
                return  # its request has no answer; the lease ends by itself
        try:
            self.lease.release()
        except StoreError:
            return
