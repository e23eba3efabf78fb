"""What a fill was asked for: a configuration, and what its caller says besides."""

from __future__ import annotations

from datetime import date
from typing import Self

from attrs import frozen

from crypto_lakehouse.core.acknowledged import Acknowledged
from crypto_lakehouse.core.config.fill_settings import NOW, until_fault
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.matrix.known_holes import load_holes
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.rest import why_not
from crypto_lakehouse.workflows.fill_plan import FillPlan, FillPlanner, FillWindow

__all__ = ["FillRequest", "last_day_of"]


@frozen(kw_only=True)
class FillRequest:
    """What a fill was asked for.

    Attributes:
        config: Selects series and days.
        last_day: The last UTC day; None for the current one.
        only_holes: Whether the days after the archive's newest are left out.
    """

    config: WorkflowConfig
    last_day: date | None
    only_holes: bool

    @classmethod
    def of(
        cls, config: WorkflowConfig, until: str | date | None, *, only_holes: bool | None
    ) -> Self:
        """Return a request; what is None is as the configuration's key `fill` says.

        Raises:
            ConfigurationError: `until` is no day.
        """
        settings = config.fill or {}
        holes = settings.get("only_holes", False) if only_holes is None else only_holes
        last_day = last_day_of(until or settings.get("until", NOW))
        return cls(config=config, last_day=last_day, only_holes=holes)

    def plan(
        self, matrix: Matrix, ledger: LedgerPlace, acknowledged: Acknowledged, today: date
    ) -> FillPlan:
        """Plan by what the ledger has; blocking."""
        planner = FillPlanner(
            config=self.config,
            matrix=matrix,
            holes=load_holes(),
            ledger=ledger,
            acknowledged=acknowledged,
            why_not=why_not,
        )
        until = min(self.last_day or today, today)
        window = FillWindow.of(self.config, until, only_holes=self.only_holes)
        return planner.plan(window, today)


def last_day_of(until: str | date) -> date | None:
    """Return the last day of a fill; None for the current one.

    Args:
        until: `now` or a UTC day.

    Raises:
        ConfigurationError: It is neither.
    """
    text = until if isinstance(until, str) else until.isoformat()
    if fault := until_fault(text):
        raise ConfigurationError([Problem("until", fault)])
    return None if text == NOW else date.fromisoformat(text)
