"""What the reports of fills and of recordings have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from attrs import frozen

__all__ = ["RunReport"]


@frozen(kw_only=True)
class RunReport(ABC):
    """The result of one run.

    Attributes:
        workflow: The workflow's name.
        status: How it ended, in one word.
        duration_seconds: Wall time of the run.
        warnings: Warnings for the user, one sentence each.
        error: Why the run ended early; empty if it did not.
        run_id: The run's id.
        stop_code: The exit code of a run that was stopped or refused; else None.
    """

    workflow: str
    status: str
    duration_seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str = ""
    run_id: str = ""
    stop_code: int | None = None

    @property
    def results(self) -> Mapping[str, Any]:
        """The report in plain types, as `to_mapping()`."""
        return self.to_mapping()

    @property
    def report(self) -> Self:
        """The report itself, for callers that handle the results of all workflows alike."""
        return self

    @property
    @abstractmethod
    def is_partial(self) -> bool:
        """Whether something is missing in the end."""

    @property
    def exit_code(self) -> int:
        """What to do next (ARCHITECTURE.md#exit-codes); 0 if nothing, 3 if something is missing."""
        if self.stop_code is not None:
            return self.stop_code
        return 3 if self.is_partial else 0

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.exit_code == 0

    @abstractmethod
    def to_mapping(self) -> dict[str, Any]:
        """Return the object that the command prints with `--json`."""
