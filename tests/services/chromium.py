"""A headless Chromium, as Debian has it, driven over the DevTools protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from attrs import define, field
from tests.services.prometheus import system_program
from tests.services.running import free_port, running

__all__ = ["Browser", "browser"]


@define
class Browser:
    """One tab.

    Attributes:
        requests: The URL of each request since the tab was opened.
        faults: What its console says of errors, and exceptions of scripts.
    """

    socket: aiohttp.ClientWebSocketResponse
    requests: list[str] = field(init=False, factory=list)
    faults: list[str] = field(init=False, factory=list)
    _number: int = field(init=False, default=0)
    _is_loaded: bool = field(init=False, default=False)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result; events before it are noted."""
        self._number += 1
        await self.socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.socket.receive_str())
        given = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._is_loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(given["request"]["url"])
            case "Runtime.exceptionThrown":
                self.faults.append(str(given["exceptionDetails"]))
            case "Log.entryAdded" if given["entry"]["level"] in {"error", "warning"}:
                self.faults.append(str(given["entry"]))
            case "Runtime.consoleAPICalled" if given["type"] in {"error", "warning", "assert"}:
                self.faults.append(str(given["args"]))
        return message

    async def show(self, url: str) -> None:
        """Load a page."""
        self._is_loaded = False
        answer = await self.send("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        while not self._is_loaded:
            await self._receive()

    async def look(self, width: int, scheme: str) -> None:
        """Set the width of the screen in pixels, and the colour scheme: `light` or `dark`."""
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=900,
                        deviceScaleFactor=1, mobile=False)  # fmt: skip
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.send("Emulation.setEmulatedMedia", features=media)

    async def run(self, script: str) -> Any:
        """Return the value of an expression of JavaScript, or of its promise."""
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True,
                                 returnByValue=True)  # fmt: skip
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """Start a browser that finds no host but 127.0.0.1; skip the test if it is not installed.

    Args:
        folder: An empty folder for its profile and its output.
    """
    port = free_port()
    command = [
        system_program("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu",
        "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={folder / 'profile'}", f"--remote-debugging-port={port}", "about:blank",
    ]  # fmt: skip
    with running(command, port, folder / "chromium.log"):
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json()
            tab = next(each for each in tabs if each["type"] == "page")
            address = tab["webSocketDebuggerUrl"]
            async with client.ws_connect(address, max_msg_size=0) as socket:
                found = Browser(socket)
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await found.send(f"{domain}.enable")
                yield found
