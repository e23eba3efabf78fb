"""The listener of a run: its metrics and its health over HTTP.

It answers GET and HEAD, and nothing that it shows is a secret. It has no authentication: it is for
this machine, unless the configuration names another address.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from attrs import define, field

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["MetricsListener"]

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

    Args:
        address: An IP address or a host name.
        port: The port; 0 for any that is free.
        text: Returns all metrics; called in a worker thread.
    """

    address: str
    port: int
    text: Callable[[], bytes]
    _runner: Any = field(init=False, default=None)

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: The port is in use, or this machine does not have the address.
        """
        from aiohttp import web

        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._health)
        application.on_response_prepare.append(_add_headers)
        runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=_LAST_ANSWERS_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self.address, self.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]

    @property
    def url(self) -> str:
        """Where the metrics are."""
        try:
            is_bracketed = ip_address(self.address).version == 6
        except ValueError:  # a host name
            is_bracketed = False
        host = f"[{self.address}]" if is_bracketed else self.address
        return f"http://{host}:{self.port}/metrics"

    async def close(self) -> None:
        """Stop listening."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        from aiohttp import web

        text = await to_thread.run_sync(self.text)
        return web.Response(body=text, headers={"Content-Type": _TEXT})

    async def _health(self, _: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(text="ok\n")


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
