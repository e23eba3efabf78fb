"""The base class of all errors."""

from __future__ import annotations

from crypto_lakehouse.core.visible import visible_lines

__all__ = [
    "LakehouseError",
]


class LakehouseError(Exception):
    """The base class of all errors; `exit_code` is the exit code of the command line.

    Source: ARCHITECTURE.md#exit-codes.
    """

    exit_code: int = 1

    def __str__(self) -> str:
        """Return the message, in which invisible characters of names and paths are escaped."""
        return visible_lines(super().__str__())

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy by fields, as `__init__` takes other arguments than the message."""
        return _restored, (type(self), self.args), vars(self)


def _restored(kind: type[LakehouseError], arguments: tuple[object, ...]) -> LakehouseError:
    return kind.__new__(kind, *arguments)
