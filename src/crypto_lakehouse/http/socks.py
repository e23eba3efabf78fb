"""aiohttp's connector through a SOCKS proxy; needs the extra `socks`, and is imported for it."""

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
    """Make a connector whose every connection leads through the proxy.

    Args:
        proxy: Its URL, with user information and port.
        settings: What every connector of the engine is made with.
    """
    return _Connector(
        proxy_type=_KINDS[proxy.scheme[:6]],
        host=proxy.host or "",
        port=proxy.port or 1080,
        username=proxy.user,
        password=proxy.password,
        rdns=True,  # the proxy looks names up: this machine may not know them
        **settings,
    )


class _Connector(ProxyConnector):
    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """As aiohttp's; what the proxy says is an error of the system's kind.

        Raises:
            ConnectionError: The proxy cannot be reached, refuses, or is none.
            TimeoutError: It was silent for too long.
        """
        try:
            return await super().connect(*arguments, **options)
        except (ProxyConnectionError, ProxyTimeoutError) as error:
            raise ConnectionError(str(error) or "the SOCKS proxy was silent") from error
        except EOFError as error:
            raise ConnectionError("the SOCKS proxy closed the connection") from error
        except ProxyError as error:
            raise ConnectionError(f"the SOCKS proxy refused: {error}") from error
