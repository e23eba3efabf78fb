"""A client of the exchange server, and the fixture of the plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from attrs import frozen

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing import ExchangeServer


@frozen
class Client:
    """Asks an exchange server with a plain client."""

    server: ExchangeServer
    session: aiohttp.ClientSession

    async def get(
        self,
        market: Market | str,
        path: str,
        headers: Mapping[str, str] | None = None,
        /,
        **values: Any,
    ) -> Any:
        """The JSON of an answer that must be 200."""
        status, _, body = await self.ask(market, path, headers, **values)
        assert status == 200, body
        return body

    async def ask(
        self,
        market: Market | str,
        path: str,
        headers: Mapping[str, str] | None = None,
        /,
        **values: Any,
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON."""
        url = self.server.url(market) + path
        async with self.session.get(url, params=values, headers=headers) as answer:
            is_json = answer.content_type == "application/json"
            body = await answer.json() if is_json else await answer.text()
            return answer.status, dict(answer.headers), body


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with ExchangeServer() as server, aiohttp.ClientSession() as session:
        yield Client(server, session)
