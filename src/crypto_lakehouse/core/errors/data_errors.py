"""Errors of what archives contain, and of the tables made of them."""

from __future__ import annotations

from crypto_lakehouse.core.errors.base import LakehouseError
from crypto_lakehouse.core.redaction import redact, redact_environment
from crypto_lakehouse.core.visible import visible_lines

__all__ = [
    "ArchiveRefused",
    "LakeError",
    "NoLakeError",
    "NotRestoredError",
    "OvertakenError",
    "QueryError",
    "SegmentError",
    "SidecarMalformed",
]


class SidecarMalformed(LakehouseError):
    """A sidecar has no digest of its archive."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key}: malformed sidecar: {reason}")


class ArchiveRefused(LakehouseError):
    """The content of an archive does not fit its data type; nothing is guessed.

    Attributes:
        line: The line of its member, counted from 1; None if the fault is not in a line.
        column: The column's published name, or empty.
    """

    exit_code = 4

    def __init__(self, key: str, reason: str, line: int | None = None, column: str = "") -> None:
        self.key = key
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(f"{key}: {self.fault}")

    @property
    def fault(self) -> str:
        """The reason with its place, without the key."""
        where = "" if self.line is None else f"line {self.line}"
        if self.column:
            where += f", column `{self.column}`"
        return f"{where}: {self.reason}" if where else self.reason


class SegmentError(LakehouseError):
    """A segment cannot be read, or an answer in it does not fit its data type."""

    exit_code = 4

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key}: {reason}")


class LakeError(LakehouseError):
    """The tables or their catalog cannot be read or written.

    Attributes:
        is_refused: Whether this user may not use their files, the file system has no locks, or the
            catalog is one of which this is not possible; the exit code is 2 then. It is 5 if the
            server of the catalog cannot be reached.
    """

    def __init__(
        self, lake: str, reason: str, *, is_refused: bool = False, is_unreachable: bool = False
    ) -> None:
        self.lake = redact(lake)
        self.reason = redact_environment(reason)
        self.is_refused = is_refused
        if is_refused:
            self.exit_code = 2
        elif is_unreachable:
            self.exit_code = 5
        super().__init__(f"lake `{self.lake}`: {self.reason}")


class NoLakeError(LakeError):
    """A directory is absent, has no tables, or cannot have any."""

    exit_code = 2

    def __str__(self) -> str:
        return visible_lines(f"`{self.lake}` {self.reason}")


class OvertakenError(LakeError):
    """Another writer changed a table before the commit; nothing was changed."""


class NotRestoredError(LakeError):
    """Rows of an archive were in a damaged data file, and it is refused now; nothing was changed.

    Attributes:
        key: The archive.
    """

    def __init__(self, lake: str, key: str, reason: str) -> None:
        super().__init__(lake, reason)
        self.key = key


class QueryError(LakeError):
    """A query cannot be answered.

    Attributes:
        lake: The query, or the table's name.
    """

    exit_code = 2

    def __str__(self) -> str:
        return visible_lines(f"{self.lake}: {self.reason}")
