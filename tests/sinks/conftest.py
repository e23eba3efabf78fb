"""Events as a run makes them, one of each kind and verdict."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    BodyStarted,
    RunFinished,
    RunNoted,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict

KEY = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-07-15.zip"
ARCHIVE = Archive.parse(KEY)
FOREIGN = Archive.parse("data/spot/monthly/trades/币安人生USDT/币安人生USDT-trades-2025-07.zip")
NOON = datetime(2025, 7, 15, 12, tzinfo=UTC)

STARTED = RunStarted(run_id="one", workflow="test", planned=3, at=NOON)
WARNED = RunWarned(message="100 % of [bold]nothing[/bold] is %s")
NOTED = RunNoted(message="proxy: [red]all[/red] via %s")
BODY_STARTED = BodyStarted(archive=ARCHIVE, facts=ObjectFacts(etag='"e"', size_bytes=9_000_000))
RETRIED = ArchiveRetried(archive=ARCHIVE, attempt=2, wait_s=1.25, reason="the source answered 503")
FINISHED = RunFinished(run_id="one", status="partial", at=NOON)

#: Verdicts that need nobody's attention.
QUIET = (Verdict.VERIFIED, Verdict.UNCHANGED, Verdict.NOT_PUBLISHED)
LOUD = tuple(verdict for verdict in Verdict if verdict not in QUIET)


def finished(
    verdict: Verdict = Verdict.VERIFIED, archive: Archive = ARCHIVE, **changes: Any
) -> ArchiveFinished:
    """The verdict on an archive, with a reason where there must be one."""
    reason = "" if verdict in QUIET else f"the reason of {verdict}"
    return ArchiveFinished(archive=archive, verdict=verdict, **({"reason": reason} | changes))
