"""The listener of runs: their metrics, their health and live pages over HTTP.

It answers GET and HEAD, and nothing that it shows is a secret. It has no authentication: it is for
this machine, unless the configuration names another address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.pages.page import policy
from crypto_lakehouse.workflows.monitoring.event_streams import EventStreams
from crypto_lakehouse.workflows.monitoring.live_page import LivePage
from crypto_lakehouse.workflows.monitoring.live_pages import LivePages

if TYPE_CHECKING:
    from aiohttp import web

    _Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["MOST_CONNECTIONS", "MetricsListener", "is_loopback"]

#: aiohttp's own logger would write a traceback to standard error for each request that is not HTTP.
_log = logging.getLogger(__name__)

#: How many connections there may be; each is an open file, of which the run needs some, too.
MOST_CONNECTIONS = 64

#: How many connections the machine accepts before the listener has looked at them.
_BACKLOG = 16

#: How long a connection may send no whole request, in seconds; Prometheus asks each minute.
_IDLE_S = 90.0

_HTML = "text/html; charset=utf-8"

_TEXT = "text/plain; version=0.0.4; charset=utf-8"

#: How long answers that are under way may take when the run ends, in seconds.
_LAST_ANSWERS_S = 1.0

_HEADERS = {
    "Server": "crypto-lakehouse",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


@define(eq=False)
class MetricsListener:
    """Serves metrics at `/metrics`, and `ok` at `/healthz` as long as the event loop answers.

    With a page, that is at `/`, and what the run does at `/events`. With several, `/` lists them;
    each is at a path of its own, as `/tenants/NAME/`, and its events are beside it.

    Args:
        address: An IP address or a host name.
        port: The port; 0 for any that is free.
        text: Returns all metrics; called in a worker thread.
        pages: The live pages; None for none.
    """

    address: str
    port: int
    text: Callable[[], bytes]
    pages: LivePages | None = None
    _runner: Any = field(init=False, default=None)
    _sockets: Any = field(init=False, default=None)
    _streams: EventStreams | None = field(init=False, default=None)

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: The port is in use, or this machine does not have the address.
        """
        from aiohttp import web

        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._health)
        if self.pages is not None:
            self._streams = EventStreams(lambda request: self._page_of(request).progress)
            below = f"/{self.pages.kind}/{{name}}"
            application.router.add_get("/", self._own(self._front))
            application.router.add_get(below, self._own(self._to_page))
            application.router.add_get(f"{below}/", self._own(self._page))
            for path in ("/events", f"{below}/events"):
                application.router.add_get(path, self._own(self._streams.answer))
        application.on_response_prepare.append(_add_headers)
        runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=_LAST_ANSWERS_S,
            logger=_log, keepalive_timeout=_IDLE_S,
        )  # fmt: skip
        await runner.setup()
        try:
            self._sockets = await asyncio.get_running_loop().create_server(
                partial(_bounded, runner.server), self.address, self.port, backlog=_BACKLOG
            )
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = self._sockets.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """Where the metrics are."""
        return f"{self.page_url}metrics"

    @property
    def page_url(self) -> str:
        """Where the page is, or the list of several."""
        try:
            is_bracketed = ip_address(self.address).version == 6
        except ValueError:  # a host name
            is_bracketed = False
        host = f"[{self.address}]" if is_bracketed else self.address
        return f"http://{host}:{self.port}/"

    @property
    def where(self) -> str:
        """Where all is, as a sentence."""
        if self.pages is None:
            return f"metrics are at {self.url}"
        pages = "live pages" if self.pages.only is None else "a live page"
        return f"metrics are at {self.url}, and {pages} at {self.page_url}"

    async def close(self) -> None:
        """Stop listening."""
        runner, self._runner = self._runner, None
        if self._streams is not None:
            self._streams.end()
        if runner is not None:
            self._sockets.close()
            await runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        from aiohttp import web

        text = await to_thread.run_sync(self.text)
        return web.Response(body=text, headers={"Content-Type": _TEXT})

    async def _front(self, request: web.Request) -> web.Response:
        assert self.pages is not None  # noqa: S101 - there is no such route without pages
        if self.pages.only is not None:
            return await self._page(request)
        return _html(self.pages.front(), is_live=False)

    async def _page(self, request: web.Request) -> web.Response:
        return _html(await self._page_of(request).html(), is_live=True)

    async def _to_page(self, request: web.Request) -> web.Response:
        """Send the reader to the path with a slash, which links of the page are relative to."""
        from aiohttp import web

        self._page_of(request)
        raise web.HTTPFound(f"./{quote(request.match_info['name'], safe='')}/")

    def _page_of(self, request: web.Request) -> LivePage:
        from aiohttp import web

        assert self.pages is not None  # noqa: S101 - there is no such route without pages
        name = request.match_info.get("name")
        page = self.pages.only if name is None else self.pages.by_name.get(name)
        if page is None:
            raise web.HTTPNotFound(text="there is no such page; see / for those that there are\n")
        return page

    def _own(self, answer: _Answer) -> _Answer:
        """Answer only if the page of another site has not asked, by a name of its own.

        A site may let its name mean 127.0.0.1, and would then read what is for this machine alone.
        """

        async def checked(request: web.Request) -> web.StreamResponse:
            from aiohttp import web

            if is_loopback(self.address) and not is_loopback(_host_name(request.host)):
                raise web.HTTPForbidden(text="this page is for this machine; use 127.0.0.1\n")
            return await answer(request)

        return checked

    async def _health(self, _: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(text="ok\n")


def _bounded(server: Any) -> asyncio.Protocol:
    """Return what answers a new connection, and cut the oldest ones if there are too many.

    Those that keep one for nothing do not keep others from being answered.
    """
    for oldest in server.connections[: -MOST_CONNECTIONS + 1]:
        oldest.transport.abort()
    answering: asyncio.Protocol = server()
    return answering


def _html(body: bytes, *, is_live: bool) -> web.Response:
    from aiohttp import web

    # No other page may have it in a frame.
    allowed = f"{policy(is_live=is_live)}; frame-ancestors 'none'"
    headers = {"Content-Type": _HTML, "Content-Security-Policy": allowed}
    return web.Response(body=body, headers=headers)


def is_loopback(host: str) -> bool:
    """Whether a host name or an IP address always means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def _host_name(host: str) -> str:
    """Return a host without its port; empty if it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_own_fault(record: logging.LogRecord) -> bool:
    """Whether a record is not about a request that is wrong, which anyone can send."""
    from aiohttp.http_exceptions import HttpProcessingError

    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log.addFilter(_is_own_fault)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
