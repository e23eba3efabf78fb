"""The output that a server is about, and the configurations of its tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio
from attrs import frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.integrations.mcp.answers import RefusedError
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.wiring.load_config import (
    load_config,
    load_config_of_all,
    load_lake_config,
)
from crypto_lakehouse.workflows.wiring.stored_output import stored_config

__all__ = ["Served"]

_Answer = TypeVar("_Answer")

#: Keys that only the configuration of a lake has.
_OF_LAKE = ("lake", "catalog")


@frozen(kw_only=True)
class Served:
    """What is served, and within which bounds.

    Attributes:
        file: The path of a configuration file; it is read again for each call.
        overrides: Keys that take precedence over the file: where the output is, and its profile or
            tenant. A call can change none of them.
        most_rows: How many entries an answer has at most.
        timeout_s: How long a call may take, in seconds.
    """

    file: str | None
    overrides: Mapping[str, Any]
    most_rows: int
    timeout_s: float

    async def of_output(self, selection: Mapping[str, Any]) -> WorkflowConfig:
        """Return the configuration of what reads the ledger; its faults are in `problems`.

        Raises:
            ConfigurationError: The file cannot be read, or has faults.
        """
        values = {**self._of_collection(), **selection}
        if self.file is not None:
            return await load_config_of_all(self.file, values)
        return stored_config(values.pop("output_directory", None), **values)

    async def of_plan(self, selection: Mapping[str, Any]) -> WorkflowConfig:
        """Return the configuration of a collection.

        Raises:
            ConfigurationError: The file cannot be read, or the configuration has faults.
        """
        return await load_config(self.file, {**self._of_collection(), **selection})

    async def of_lake(self, selection: Mapping[str, Any]) -> LakeConfig:
        """Return the configuration of what reads archives and tables.

        Raises:
            ConfigurationError: The file cannot be read, or the configuration has faults.
        """
        return await load_lake_config(self.file, {**self.overrides, **selection})

    def _of_collection(self) -> dict[str, Any]:
        return {name: value for name, value in self.overrides.items() if name not in _OF_LAKE}

    async def in_time(self, work: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Return what `work` returns.

        Raises:
            RefusedError: It takes too long, and was cancelled.
        """
        with anyio.move_on_after(self.timeout_s) as scope:
            return await work()
        assert scope.cancelled_caught  # noqa: S101 - nothing else leaves the block without a value
        raise self.too_late()

    def too_late(self) -> RefusedError:
        """Return the error of a call that takes too long."""
        seconds = plural(round(self.timeout_s), "second")
        return RefusedError(
            f"stopped after {seconds}; ask for fewer series, fewer days or fewer rows"
        )
