"""The HTTP client and what is stacked on it: hosts, caps, retries, a concurrency limit, listings.

From the inside out:

1. A client (`transport.Client`) sends one GET as it is told. `client` opens the engine's own:
   `exchange`, over aiohttp's connector and parser, or `session_client`, over a documented session,
   which is also how an application's session is used. `origin` prepares what the requests to one
   host have in common, `receiver` fills the buffers of large bodies.
2. `routes`, `proxies` and `no_proxy` choose the way of a request, `socks` speaks to SOCKS proxies.
   `tls` says whose certificates count, `tls_errors` what is wrong with one. `idle_timeout` ends a
   silent connection.
3. `transport` adds credentials, follows redirects to `allowed_hosts` only, and pays the caps of
   `rate_limit`.
4. `concurrency_limit` bounds the requests under way: a fixed number, or one that is found by
   measuring (`adaptive_limit`). `retry` says which failure is tried again, and after how long.
5. `s3_listing` lists a source page by page; `s3_listing_xml` parses a page as it arrives.

A body is never decoded: an archive's bytes are hashed as published. The engine's client keeps no
cookies. A request that was tried again may have reached the source more than once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.http.retry import RetryPolicy

__all__ = ["RetryPolicy"]

_MODULES = {"RetryPolicy": "retry"}


def __getattr__(name: str) -> object:
    """Import a public name on first use: parts of the package need no client."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.http.{_MODULES[name]}"), name)
