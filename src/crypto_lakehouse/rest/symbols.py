"""The symbols of a market, as the exchange's API lists them."""

from __future__ import annotations

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.rest.answers import Faulty
from crypto_lakehouse.rest.client import RestClient
from crypto_lakehouse.rest.endpoints import API_OF, Endpoint

__all__ = ["listed_symbols"]

_WEIGHTS = {Market.SPOT: 20}

_TRADING = "TRADING"


async def listed_symbols(client: RestClient, market: Market) -> dict[str, bool]:
    """Ask for the symbols of a market.

    Returns:
        Whether each is traded now.

    Raises:
        TransferError: There is no usable answer.
        HostRefusedError: The host refuses this machine.
    """
    path = f"{API_OF[market].prefix}/exchangeInfo"
    endpoint = Endpoint(path=path, params={}, steps=((1, _WEIGHTS.get(market, 1)),), most=1)
    _, symbols = await client.get(market, endpoint, {}, None, _read)
    return symbols


def _read(body: bytes) -> dict[str, bool]:
    try:
        rows = parse_finite(body)["symbols"]
        return {
            str(row["symbol"]): row.get("status", row.get("contractStatus")) == _TRADING
            for row in rows
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Faulty(f"it has no list of symbols: {error}") from None
