"""Errors as the exchange answers them: a status, a code and a message."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ApiError",
    "bad_combination",
    "illegal",
    "invalid",
    "invalid_symbol",
    "missing",
    "not_found",
]


class ApiError(Exception):
    """A request that the exchange refuses.

    Args:
        code: The exchange's code.
        message: Its message.
        status: The HTTP status.
    """

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    @property
    def payload(self) -> dict[str, Any]:
        """What is sent as JSON."""
        return {"code": self.code, "msg": self.message}


def invalid_symbol() -> ApiError:
    """The symbol is unknown."""
    return ApiError(-1121, "Invalid symbol.")


def missing(name: str) -> ApiError:
    """A parameter is missing or empty."""
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return ApiError(-1102, text)


def illegal(name: str, legal: str) -> ApiError:
    """A parameter has characters that it cannot have."""
    return ApiError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def invalid(name: str) -> ApiError:
    """A parameter has a value that it cannot have."""
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def bad_combination() -> ApiError:
    """Parameters that exclude each other."""
    return ApiError(-1128, "Combination of optional parameters invalid.")


def not_found() -> ApiError:
    """There is no such endpoint."""
    return ApiError(-5000, "Path not found", 404)
