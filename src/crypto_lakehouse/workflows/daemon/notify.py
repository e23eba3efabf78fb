"""Tell systemd how a process is: that it is ready, stops, reads its configuration, or lives.

Source: sd_notify(3). Without `NOTIFY_SOCKET` in the environment nothing is sent.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from attrs import field, frozen

__all__ = ["Notifier"]


@frozen
class Notifier:
    """Sends the states of a process to its service manager.

    Args:
        environ: The variables of the process.
    """

    environ: Mapping[str, str] = field(factory=lambda: os.environ)

    @property
    def watchdog_s(self) -> float | None:
        """After how many seconds at most `living` must be called; None if it need not be."""
        of_process = self.environ.get("WATCHDOG_PID", "")
        if of_process and of_process != str(os.getpid()):
            return None
        try:
            limit_s = int(self.environ.get("WATCHDOG_USEC", "")) / 1_000_000
        except ValueError:
            return None
        return limit_s / 2 if limit_s > 0 else None

    def ready(self, status: str) -> None:
        """Say that the process works, and what it waits for."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Say what the process does."""
        self._send(f"STATUS={text}")

    def living(self) -> None:
        """Say that the process still works."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that the process reads its configuration again; `ready` must follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the process ends."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        """Send a state; a manager that is gone must not end the process."""
        path = self.environ.get("NOTIFY_SOCKET", "")
        if not path.startswith(("/", "@")):
            return
        address = f"\0{path[1:]}" if path.startswith("@") else path
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(text.encode(), address)
