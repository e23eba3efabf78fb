"""Errors of what a user or an application gives: configuration, selection, keys, calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from attrs import field, frozen

from crypto_lakehouse.core.errors.base import LakehouseError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.redaction import redact

__all__ = [
    "ArchiveKeyError",
    "ConfigurationError",
    "ConfigurationWarning",
    "ExtraMissing",
    "MatrixError",
    "Problem",
    "RunningLoopError",
    "SelectionError",
]


@frozen
class Problem:
    """One fault of an input: where it is and what to do about it.

    Attributes:
        path: The position, as `$.date_range.start`, `$.availability_matrix[3].market`, or the
            name of an environment variable or option.
        message: What is wrong and which values are allowed.
        origin: `override` if the value was given as an override, so that a command can name the
            option; `default` if it was not given at all, and no file was read; else empty.

    Secrets in path and message are masked.
    """

    path: str = field(converter=redact)
    message: str = field(converter=redact)
    origin: str = field(default="", eq=False)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigurationWarning(UserWarning):
    """A configuration is valid, but may not mean what its author expects."""


class ConfigurationError(LakehouseError):
    """The configuration is invalid; `problems` lists every fault."""

    exit_code = 2
    _subject: ClassVar[str] = "invalid configuration"
    _option_subject: ClassVar[str] = "invalid options"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        count = len(self.problems)
        is_option = all(problem.path.startswith("--") for problem in self.problems)
        subject = self._option_subject if is_option and count else self._subject
        super().__init__(f"{subject}, {plural(count, 'problem')}:{lines}")


class SelectionError(ConfigurationError):
    """The selection names symbols that do not exist, or nothing fits it; nothing was fetched."""

    _subject = _option_subject = "invalid selection"


class MatrixError(LakehouseError):
    """A matrix file is invalid; `problems` lists every fault."""

    exit_code = 2

    def __init__(self, origin: str, problems: Iterable[Problem]) -> None:
        self.origin = origin
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"invalid matrix `{origin}`, {plural(count, 'problem')}:{lines}")


class ArchiveKeyError(LakehouseError, ValueError):
    """A key, or a part of one, cannot be an archive's."""

    exit_code = 2

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key!r} is not an archive key: {reason}")


class RunningLoopError(LakehouseError, RuntimeError):
    """`execute()` was called while an event loop was running."""

    def __init__(self, workflow: str) -> None:
        super().__init__(
            f"{workflow}.execute() is synchronous and an event loop is already running here; "
            f"use `await {workflow}.run()` instead"
        )


class ExtraMissing(LakehouseError):
    """Packages of an optional extra are not installed."""

    exit_code = 2

    def __init__(self, extra: str, reason: str) -> None:
        self.extra = extra
        super().__init__(f"{reason}; install them with `pip install 'crypto-lakehouse[{extra}]'`")
