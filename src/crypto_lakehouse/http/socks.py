"""aiohttp's connector for SOCKS proxies; only imported if needed, with the extra `socks`."""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp_socks import (
    ProxyConnectionError,
    ProxyConnector,
    ProxyError,
    ProxyTimeoutError,
    ProxyType,
)
from yarl import URL

__all__ = ["socks_connector"]

_KINDS = {"socks5": ProxyType.SOCKS5, "socks4": ProxyType.SOCKS4}


def socks_connector(proxy: URL, settings: dict[str, Any]) -> aiohttp.BaseConnector:
    """Return a connector that opens every connection through the proxy.

    Args:
        proxy: The URL of the proxy, with user information and port.
        settings: Arguments for every connector of the engine.
    """
    return _Connector(
        proxy_type=_KINDS[proxy.scheme[:6]],
        host=proxy.host or "",
        port=proxy.port or 1080,
        username=proxy.user,
        password=proxy.password,
        rdns=True,  # the proxy resolves names: this machine may not be able to
        **settings,
    )


class _Connector(ProxyConnector):
    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """Connect like aiohttp; errors of the proxy become `OSError`s.

        Raises:
            ConnectionError: The proxy cannot be reached, refuses, or does not speak SOCKS.
            TimeoutError: The proxy was silent for too long.
        """
        try:
            return await super().connect(*arguments, **options)
        except (ProxyConnectionError, ProxyTimeoutError) as error:
            raise ConnectionError(str(error) or "the SOCKS proxy was silent") from error
        except EOFError as error:
            raise ConnectionError("the SOCKS proxy closed the connection") from error
        except ProxyError as error:
            raise ConnectionError(f"the SOCKS proxy refused: {error}") from error
