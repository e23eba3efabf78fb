"""Pages in a real browser: nothing overlaps or overflows, all can be read, nothing is loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.pages.samples import sample
from tests.services.chromium import Browser, browser
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.pages.page import page
from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.monitoring.live_page import LivePage
from crypto_lakehouse.workflows.monitoring.live_pages import LivePages

#: Says what is wrong: texts that overlap, leave the screen or have too little contrast.
LOOK = (Path(__file__).parents[1] / "pages/look.js").read_text()


async def faults(tab: Browser, width: int, scheme: str) -> list[str]:
    await tab.look(width, scheme)
    found: list[str] = await tab.run(LOOK)
    return [f"{width} {scheme}: {each}" for each in found]


async def test_a_page_is_readable_on_phone_and_desktop_in_light_and_dark(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_bytes(page(sample()))
    async with browser(tmp_path) as tab:
        await tab.show(file.as_uri())
        await tab.run("for (const each of document.querySelectorAll('details')) each.open = true")
        seen = set()
        for scheme in ("light", "dark"):
            for width in (390, 1280):
                assert await faults(tab, width, scheme) == []
            seen.add(await tab.run("getComputedStyle(document.body).backgroundColor"))
        assert len(seen) == 2
        title = await tab.run("document.title + document.documentElement.lang")
        assert re.search(r"– crypto-lakehouseen$", title)
        assert tab.requests == [file.as_uri()]
        assert tab.faults == []
        # A page that has a fault is one: the checks see what they are for.
        await tab.run("document.querySelector('h1').style.marginBottom = '-1.5rem'; "
                      "document.querySelector('.brand').style.color = '#ddd'; "
                      "document.querySelector('.tiles').style.width = '2000px'")  # fmt: skip
        await tab.run(
            "document.body.append(Object.assign(new Image(), {src: 'https://a.example'}))"
        )
        kinds = {re.split(r"[ :]+", each)[2] for each in await faults(tab, 1280, "light")}
        assert kinds == {"overlap", "contrast", "overflow"}
        assert len(tab.faults) == 1
        assert "violates the following Content Security Policy" in tab.faults[0]


async def test_a_live_page_follows_the_run(collection: Collection, tmp_path: Path) -> None:
    said: dict[str, Any] = {}
    async with browser(tmp_path) as tab:

        async def look(events: Any) -> None:
            if not any(isinstance(event, ArchiveFinished) for event in events):
                return
            listener = workflow.monitoring.listener
            assert listener is not None
            await tab.show(listener.page_url)
            done = "document.querySelector('[data-live=done]').textContent"
            said["done"] = await tab.run(_until(f"{done} === '1'", done))
            said["state"] = await tab.run(state)
            for width in (390, 1280):
                said[str(width)] = await faults(tab, width, "dark")
            # Of several pages each is followed from the list, and has a link back.
            assert listener.pages is not None
            others = {
                f"{'nightly ' * number}a/b": LivePage(CountingSink(), workflow.config)
                for number in range(12)
            }
            listener.pages = LivePages("outputs", {**others, **listener.pages.by_name})
            await tab.show(listener.page_url)
            said["list"] = [*await faults(tab, 390, "dark"), *await faults(tab, 1280, "light")]
            await tab.show(await tab.run("document.querySelector('td a').href"))
            said["other"] = await tab.run(_until(f"{state} === 'begins'", state))
            said["back"] = await tab.run("document.querySelector('.brand a').href")
            said["back"] = said["back"] == listener.page_url
            said["list"] += await faults(tab, 390, "light")

        state = "document.getElementById('state').textContent"
        values = {**collection.config, "serve": 0}
        workflow = ArchiveCollectionWorkflow(WorkflowConfig(values, environ={}), sinks=[look])
        assert (await workflow.run()).exit_code == 0
        said["end"] = await tab.run(_until(f"{state} === 'has ended'", state))
        assert said == {
            "done": "1",
            "state": "is running",
            "390": [],
            "1280": [],
            "list": [],
            "other": "begins",
            "back": True,
            "end": "has ended",
        }
        assert tab.faults == []
        hosts = {re.sub(r":\d+/.*", "", each) for each in tab.requests}
        assert hosts == {"http://127.0.0.1"}


def _until(condition: str, value: str) -> str:
    """A promise of a value, which is kept once a condition is true."""
    return f"""new Promise((done) => {{
        const look = () => {condition} ? done({value}) : setTimeout(look, 20); look(); }})"""
