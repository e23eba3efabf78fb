"""Open what a run's configuration names, and say what cannot be opened."""

from __future__ import annotations

from anyio import to_thread

from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.workflows.monitoring.listener import MetricsListener
from crypto_lakehouse.workflows.monitoring.textfile import MetricsTextfile

__all__ = ["file_problems", "port_problems"]


async def file_problems(textfile: MetricsTextfile | None) -> list[Problem]:
    """Check a file of metrics, and take over what the last run's has."""
    if textfile is None:
        return []
    try:
        await to_thread.run_sync(textfile.check)
    except OSError as error:
        path = shown(str(textfile.path))
        reason = f"`{path}` cannot be written: {error.strerror or error}"
        return [Problem("$.metrics_textfile", reason)]
    return []


async def port_problems(listener: MetricsListener | None) -> list[Problem]:
    """Listen."""
    if listener is None:
        return []
    try:
        await listener.open()
    except OSError as error:
        reason = error.strerror or str(error)
        place = f"port {listener.port} of `{shown(listener.address)}`"
        hint = "choose another port, or 0 for any that is free"
        return [Problem("$.serve", f"{place} cannot be listened on: {reason}; {hint}")]
    return []
