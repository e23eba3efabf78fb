"""What the records of a log say of the run that they come from, wherever they are made."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["TENANT_OF_RUN"]

#: The tenant of the run that the current task, or the thread that it waits for, works for.
TENANT_OF_RUN: ContextVar[str] = ContextVar("tenant_of_run", default="")
