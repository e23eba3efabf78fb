"""Connect to a Dask scheduler, or start a cluster on this machine."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

from crypto_lakehouse.core.errors import ClusterError, ExtraMissing

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["CONNECT_WITHIN_S", "open_cluster"]

#: A local scheduler takes a worker for dead after this time without a heartbeat.
_SILENCE = "60 s"

#: What the scheduler and the workers of this machine are started with. A profile of the workers
#: would not show the thread of an agent.
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-ttl": _SILENCE,
    "distributed.worker.profile.enabled": False,
}

#: How long a scheduler may take to answer the first time, in seconds.
CONNECT_WITHIN_S = 60.0

#: How long an attempt to connect may take, in seconds.
_ATTEMPT_S = 30.0

#: How long the connection may take to close, in seconds.
_CLOSE_WITHIN_S = 10.0


@asynccontextmanager
async def open_cluster(
    scheduler: str | None, workers: int, *, connect_within_s: float = CONNECT_WITHIN_S
) -> AsyncIterator[Client]:
    """Open a client; the scheduler of this machine has its workers, and ends with the run.

    Args:
        scheduler: The address of a scheduler; None for one in this process.
        workers: How many worker processes that one starts.
        connect_within_s: How long a scheduler may take to answer the first time.

    Raises:
        ClusterError: The scheduler cannot be reached, or the workers cannot be started.
        ExtraMissing: The extra `dask` is not installed.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise ExtraMissing("dask", "`executor: dask` needs Dask") from None
    cluster: Any = None
    try:
        with _as_cluster_errors(scheduler or "on this machine"):
            if scheduler is None:
                with dask.config.set(_SETTINGS):
                    cluster = await LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        dashboard_address="127.0.0.1:0",  # it has a server in any case
                        memory_limit=0,
                        asynchronous=True,
                        silence_logs=logging.CRITICAL,
                    )
            client = await _connected(
                Client(
                    cluster or scheduler,
                    asynchronous=True,
                    set_as_default=False,
                    timeout=min(connect_within_s, _ATTEMPT_S),
                ),
                connect_within_s,
            )
        try:
            yield client
        finally:
            await _close(client)
    finally:
        if cluster is not None:
            await _close(cluster)


class _as_cluster_errors:  # noqa: N801 - used as a function
    """Turn errors of the network into errors of the cluster."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (OSError, RuntimeError, ValueError)):
            reason = f"the Dask scheduler {self.place} cannot be reached: {error}"
            raise ClusterError(reason, exit_code=5) from error


async def _connected(client: Client, within_s: float) -> Client:
    """Wait until a client is connected.

    Its own timeout bounds each attempt to connect, and not their number: it goes on for ever if the
    scheduler is frozen, whose kernel accepts connections.

    Raises:
        TimeoutError: The scheduler has not answered.
    """
    try:
        with anyio.move_on_after(within_s):
            return await client
        raise TimeoutError(f"it has not answered for {within_s:.0f} s")
    except BaseException:
        await _close(client)
        raise


async def _close(opened: Any) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_WITHIN_S), suppress(OSError):
        await opened.close()
