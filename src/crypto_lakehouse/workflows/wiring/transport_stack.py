"""Open the client of a run, and stack on it what every request goes through: hosts and caps."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from yarl import URL

from crypto_lakehouse.core.config.values import AUTO
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.body_chunks import CHUNK_BYTES
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.routes import Route, SessionRoute
from crypto_lakehouse.http.session_client import AiohttpClient
from crypto_lakehouse.http.shared_budget import BudgetShare
from crypto_lakehouse.http.tls import tls_context
from crypto_lakehouse.http.transport import Client, HttpTransport
from crypto_lakehouse.stores.open_files import open_files_hint
from crypto_lakehouse.workflows.wiring.caps import Caps
from crypto_lakehouse.workflows.wiring.network import Network
from crypto_lakehouse.workflows.wiring.open_files import connections_that_fit

if TYPE_CHECKING:
    import aiohttp

__all__ = [
    "allowed_hosts_of",
    "make_transport",
    "most_parallel",
    "open_client",
    "parallel_downloads",
    "parallel_note",
    "share_of",
    "wanted_parallel",
]

_log = logging.getLogger(__name__)

#: The value of `max_parallel_downloads: auto` in listings and estimates.
_AUTO_PARALLEL = 32

#: The most that it may become in a collection.
_AUTO_MOST = 256


#: A capped run reads bodies in pieces of a twentieth of a second, but none smaller than this.
_SMALLEST_CHUNK_BYTES = 1 << 12


def parallel_downloads(config: WorkflowConfig) -> int:
    """How many requests are in progress at once, as far as that is known beforehand."""
    return connections_that_fit(_usual_parallel(config))


def _usual_parallel(config: WorkflowConfig) -> int:
    wanted = config.max_parallel_downloads
    return _AUTO_PARALLEL if isinstance(wanted, str) else wanted


def most_parallel(config: WorkflowConfig) -> int:
    """How many requests may be in progress at once in this process, at most."""
    return connections_that_fit(wanted_parallel(config))


def wanted_parallel(config: WorkflowConfig) -> int:
    """How many requests a configuration allows at once, on any machine."""
    wanted = config.max_parallel_downloads
    return _AUTO_MOST if isinstance(wanted, str) else wanted


def share_of(config: WorkflowConfig, processes: int = 1, number: int = 0) -> Share:
    """The share of process `number`; all shares together are what the configuration allows."""
    most = most_parallel(config)
    byte_rate, request_rate = config.max_bytes_per_second, config.max_requests_per_second
    return Share(
        parallel=most // processes + (number < most % processes),
        is_adaptive=config.max_parallel_downloads == AUTO,
        bytes_per_second=byte_rate / processes if byte_rate else None,
        requests_per_second=request_rate / processes if request_rate else None,
    )


def parallel_note(config: WorkflowConfig) -> str:
    """Return a remark if not all connections fit into the limit of open files; mostly empty."""
    fit, wanted = most_parallel(config), _usual_parallel(config)
    if fit >= wanted:
        return ""
    return (
        f"`max_parallel_downloads` is {fit} here, and not {config.max_parallel_downloads}: "
        f"{open_files_hint()}"
    )


@asynccontextmanager
async def open_client(
    config: WorkflowConfig,
    connections: int,
    session: aiohttp.ClientSession | None = None,
    network: Network | None = None,
) -> AsyncIterator[Client]:
    """Open the engine's own client, or take an application's session, which is not closed.

    Every client is opened here, so that all requests go through the same layers.

    Args:
        config: Sets the idle timeout, and whether bytes are capped.
        connections: How many idle connections are kept.
        session: The application's; it decides about its own proxies and certificates.
        network: Proxies and certificates; the configuration's by default.

    Raises:
        ConfigurationError: A proxy or a file of certificates cannot be used.
        ExtraMissing: A SOCKS proxy is used, and the extra `socks` is not installed.
    """
    if session is not None:
        _check_session(config, session)
        yield AiohttpClient(SessionRoute(Route(session)), config.timeout_seconds)
        return
    network = network or Network.of(config)
    rate = config.max_bytes_per_second
    chunk = CHUNK_BYTES if rate is None else max(_SMALLEST_CHUNK_BYTES, rate // 20)
    opening = engine_client(
        connections,
        config.timeout_seconds,
        min(chunk, CHUNK_BYTES),
        proxy_of=network.proxies.for_url,
        make_tls=lambda: network.tls or tls_context(config.ca_bundle, os.environ),
        note=_log.warning,
    )
    async with opening as client:
        yield client


def _check_session(config: WorkflowConfig, session: aiohttp.ClientSession) -> None:
    """Refuse settings that a session cannot follow, or that it decides by itself.

    Raises:
        ConfigurationError: All of them, listed.
    """
    problems = []
    if session.closed:
        problems.append(Problem("session", "the session is closed; hand over one that is open"))
    problems += [
        Problem(f"$.{key}", f"the session decides about it: set it there, and leave `{key}` out")
        for key, default in (("proxy", "environment"), ("ca_bundle", None))
        if getattr(config, key) != default
    ]
    if problems:
        raise ConfigurationError(problems)


def allowed_hosts_of(config: WorkflowConfig) -> AllowedHosts:
    """The hosts that a run may fetch archives from."""
    # With its port: a listing on this machine does not allow requests to its other services.
    listing_host = URL(config.listing_url).host_port_subcomponent if config.listing_url else None
    return AllowedHosts.of(
        config.source_url,
        filter(None, (listing_host, *config.redirect_hosts)),
        config.second_source_url,
        allow_http=config.allow_http,
    )


def make_transport(
    config: WorkflowConfig,
    client: Client,
    caps: Caps | None = None,
    budget: BudgetShare | None = None,
) -> HttpTransport:
    """Stack hosts and caps on a client; by default the caps are those of the whole run.

    Args:
        config: Names the hosts.
        client: Sends requests.
        caps: The limits of this process.
        budget: The part of the run in what several runs may send to its source.
    """
    caps = caps or Caps.of(share_of(config), ByteMeter())
    hosts = allowed_hosts_of(config)
    if budget is None:
        return HttpTransport(client, hosts, caps.byte_rate, caps.request_rate)
    byte_pace = budget.byte_pace(caps.byte_rate)
    return HttpTransport(client, hosts, byte_pace, budget.request_pace(caps.request_rate))
