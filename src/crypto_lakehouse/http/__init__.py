"""The HTTP client and the layers on top of it: hosts, rate limits, retries, concurrency, listings.

From the lowest layer up:

1. A client (`transport.Client`) sends a single GET. `client` opens the engine's own client: either
   `exchange`, on aiohttp's connector and parser, or `session_client`, on a documented session,
   which also wraps an application's session. `origin` prepares the parts that requests to one host
   share; `receiver` reads a connection, and `body_chunks` fills the buffers of large bodies.
2. `routes`, `proxies` and `no_proxy` select the proxy of a request; `socks` connects to SOCKS
   proxies. `tls` selects the trusted certificates, `tls_errors` explains TLS failures, and
   `idle_timeout` closes a silent connection.
3. `transport` adds credentials, follows redirects to `allowed_hosts` only, and applies the rate
   limits of `rate_limit`.
4. `concurrency_limit` limits the number of parallel requests to a fixed number, or to one found by
   measurement (`adaptive_limit`). `shared_budget` divides one budget of a host between several
   runs, with the slots of `fair_slots`. `retry` decides which failures are retried, and after what
   delay.
5. `s3_listing` lists a source page by page; `s3_listing_xml` parses a page as it arrives.

A body is never decoded: an archive's bytes are hashed as published. The engine's client stores no
cookies. A request that is retried may reach the source more than once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.http.retry import RetryPolicy

__all__ = ["RetryPolicy"]

_MODULES = {"RetryPolicy": "retry"}


def __getattr__(name: str) -> object:
    """Import a public name on first use; parts of the package do not need the client."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.http.{_MODULES[name]}"), name)
