"""The silences in which a server currently is."""

from __future__ import annotations

from crypto_lakehouse.testing.latch import Latch
from crypto_lakehouse.testing.objects.responses import Silence

__all__ = ["Silences"]


class Silences:
    """Keeps servers silent until they are released."""

    def __init__(self) -> None:
        self._latches: set[Latch] = set()

    async def keep(self, silence: Silence) -> None:
        """Be silent until released, or cancelled because a side closes the connection."""
        self._latches.add(silence.release)
        try:
            silence.reached.open()
            await silence.release.passed()
        finally:
            self._latches.discard(silence.release)

    def release(self) -> None:
        """End all current silences."""
        for latch in self._latches.copy():
            latch.open()
