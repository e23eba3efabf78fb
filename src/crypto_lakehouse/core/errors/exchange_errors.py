"""Errors of requests to an exchange's API."""

from __future__ import annotations

from crypto_lakehouse.core.errors.base import LakehouseError
from crypto_lakehouse.core.errors.transfer_errors import TransferError
from crypto_lakehouse.core.messages import shown

__all__ = [
    "BadAnswerError",
    "ExchangeRefused",
    "FillUnavailable",
    "HostRefusedError",
    "PlaceRefusedError",
    "UnknownSymbolError",
]


class BadAnswerError(TransferError):
    """An answer of the exchange is damaged or contradicts itself; none of its rows is used.

    Attributes:
        fault: What is wrong, with the place in the answer.
        body: The answer, as it came.
    """

    def __init__(self, url: str, fault: str, body: bytes = b"") -> None:
        self.fault = fault
        self.body = body
        super().__init__(url, f"the exchange sent an answer that cannot be used: {fault}")


class ExchangeRefused(TransferError):
    """The exchange refuses a request; it would refuse it again.

    Attributes:
        status: The HTTP status.
        code: The exchange's code, as -1130; 0 if the answer has none.
    """

    transient = False

    def __init__(self, url: str, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        what = f"{code}: {shown(message)}" if code else f"{status}"
        super().__init__(url, f"the exchange refused the request: {what}")


class FillUnavailable(TransferError):
    """The exchange does not have what is asked for, or not any more; a retry would not help."""

    transient = False


class UnknownSymbolError(FillUnavailable):
    """The exchange does not know a symbol, as many that are no longer traded.

    Attributes:
        symbol: The symbol, or the pair.
    """

    def __init__(self, url: str, symbol: str) -> None:
        self.symbol = symbol
        super().__init__(url, f"the exchange does not know the symbol `{shown(symbol)}`")


class HostRefusedError(LakehouseError):
    """A host has banned or blocked this machine: nothing more may be sent to it.

    Attributes:
        host: The host, with its port if that is not the usual one.
        status: 403, 418 or 451.
        retry_after_s: When a ban ends, in seconds from the answer; None if it is not known.
    """

    exit_code = 5

    def __init__(self, host: str, status: int, retry_after_s: float | None = None) -> None:
        self.host = host
        self.status = status
        self.retry_after_s = retry_after_s
        super().__init__(f"`{host}` answered {status}: {self._advice()}")

    def _advice(self) -> str:
        if self.status == 418:
            wait = "" if self.retry_after_s is None else f" for {self.retry_after_s:.0f} s"
            return (
                "programs on this IP address sent too many requests, and it is banned"
                f"{wait}; nothing more is sent; run it again after that"
            )
        return (
            "its firewall blocks this machine; nothing more is sent; wait some minutes, and if it "
            "goes on, use another network or another `url`"
        )


class PlaceRefusedError(HostRefusedError):
    """A host does not serve the place where this machine is; that does not change by waiting."""

    def __init__(self, host: str) -> None:
        super().__init__(host, 451)

    def _advice(self) -> str:
        return (
            "it does not serve the place that this machine's address belongs to; no request is "
            "sent again; use another `url` that it serves"
        )
