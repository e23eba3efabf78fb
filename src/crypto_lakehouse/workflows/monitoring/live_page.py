"""The page of an output that runs work on, while they go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import anyio
from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.acknowledged import NOTHING_ACKNOWLEDGED
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.verdicts import UNREMARKABLE
from crypto_lakehouse.pages.figures import PageFigures, Progress
from crypto_lakehouse.pages.page import page
from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.stores.output import Output, output_of
from crypto_lakehouse.workflows.page_figures import CoverageFold, page_figures
from crypto_lakehouse.workflows.status import status_of
from crypto_lakehouse.workflows.wiring.holes_file import load_acknowledged
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.stored_output import archives_of

__all__ = ["LivePage", "identity_of"]

#: A page is made again at most every five seconds, and takes at most a tenth of the time.
_LEAST_AGE_S, _SHARE = 5.0, 10


@define(eq=False)
class LivePage:
    """Makes the page of what the ledger has, and counts what the run has done.

    It shows neither a path nor a URL. Origins and findings are not on it: a lake is not read beside
    a run.

    Args:
        sink: Counts the events of the runs that work on the output, and of no others.
        config: Names the output.
        clock: Returns seconds, monotonic; a parameter for tests.

    Attributes:
        name: What it is called among others; empty if it is the only one.
        back: The text of the link to the list of all; empty if it is the only one.
    """

    sink: CountingSink
    config: Any
    clock: Callable[[], float] = time.monotonic
    name: str = field(init=False, default="")
    back: str = field(init=False, default="")
    _html: bytes | None = field(init=False, default=None)
    _next_at: float = field(init=False, default=0.0)
    _turn: anyio.Lock | None = field(init=False, default=None)

    async def html(self) -> bytes:
        """Return the page; of requests at the same time one makes it."""
        self._turn = self._turn or anyio.Lock()
        async with self._turn:
            if self._html is None or self.clock() >= self._next_at:
                begun = self.clock()
                self._html = await to_thread.run_sync(self._made)
                ended = self.clock()
                self._next_at = ended + max(_LEAST_AGE_S, _SHARE * (ended - begun))
            return self._html

    def forget(self) -> None:
        """Make the page again for the next request: the ledger has been written to its end."""
        self._html = None

    def _made(self) -> bytes:
        now = datetime.now(UTC)
        figures = PageFigures(
            place=self.name, at=now, of="what runs were asked for", by_days=False, span=None,
            total=None,
        )  # fmt: skip
        with suppress(LakehouseError):  # the run itself says what is wrong with its ledger
            figures = self._figures(now) or figures
        return page(figures, self.progress(), self.back)

    def _figures(self, now: datetime) -> PageFigures | None:
        """What the ledger has; None as long as there is none."""
        output, acknowledged = _output(self.config), NOTHING_ACKNOWLEDGED
        if not ledger_at(output).exists():
            return None
        if isinstance(self.config, WorkflowConfig):
            acknowledged = load_acknowledged(self.config)
        matrix = getattr(self.config, "matrix_path", None)
        status = status_of(output, matrix_path=matrix, acknowledged=acknowledged)
        objectives = getattr(self.config, "freshness", None)
        return page_figures(
            status, output, CoverageFold(), now, place=self.name, objectives=objectives
        )

    def progress(self) -> Progress:
        """Return what the run has done so far; the same figures as the metrics."""
        figures, meter = self.sink.figures, self.sink.meters.sum()
        with figures.lock:
            newest = max(figures.started, key=figures.started.__getitem__, default=("",))
            started = figures.started.get(newest)
            ended = figures.finished.get(newest)
            has_ended = started is not None and ended is not None and ended >= started
            until = ended if has_ended and ended is not None else time.time()
            seconds = None if started is None else max(0.0, until - started)
            done = figures.settled - figures.settled_before.get(newest, 0)
            problems = sum(
                count
                for (_, _, verdict), count in figures.archives.items()
                if verdict not in UNREMARKABLE
            )
            return {
                "workflow": newest[0].replace("_", " "),
                "state": "has ended" if has_ended else "is running" if newest[0] else "begins",
                "runs": figures.runs.total(),
                "done": done,
                "planned": figures.planned.get(newest) or None,
                "rate": done / seconds if done and seconds else None,
                "received_bytes": None if meter is None else meter.received_bytes,
                "parallel": None if meter is None else meter.parallel,
                "retries": figures.retries.total(),
                "problems": problems,
                "rows": figures.lake_rows.total() or None,
                "messages": None if figures.recorded is None else figures.recorded.messages,
                "seconds": seconds,
            }


def identity_of(config: Any) -> str:
    """Return what tells the output that a configuration names from others; nothing is read.

    Raises:
        ConfigurationError: The URL or a setting of its store is wrong.
    """
    return _output(config).identity


def _output(config: Any) -> Output:
    return output_of(config) if isinstance(config, WorkflowConfig) else archives_of(config)
