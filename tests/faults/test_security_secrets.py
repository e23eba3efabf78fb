"""No secret appears anywhere: not in files, reports, logs, events, workers or tracebacks."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field
from tests.faults.secret_faults import (
    FAULTS,
    LISTINGS,
    PASSWORD,
    SIGNED,
    check,
    inject,
    timeout_of,
    with_user,
)
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.errors import LakehouseError, SinkError
from crypto_lakehouse.core.events import Event, to_record
from crypto_lakehouse.sinks.jsonl import JsonLinesSink
from crypto_lakehouse.testing.faults import Redirect, Stall


@define
class Everything:
    """A sink that keeps every event as it shows itself."""

    shown: list[str] = field(factory=list)
    name: str = "everything"
    required: bool = True

    async def handle(self, events: Sequence[Event]) -> None:
        self.shown += [f"{event!r} {event} {to_record(event)}" for event in events]

    async def flush(self) -> None:
        return None

    async def close(self) -> None:
        return None


@define
class Witness:
    """Runs a collection, and keeps everything that is ever shown of it."""

    collection: Collection
    caplog: pytest.LogCaptureFixture
    folder: Path

    async def run(self, sinks: Sequence[Any] = (), **changes: Any) -> list[str]:
        """Everything that is shown, with the traceback where the run ends with an error."""
        everything = Everything()
        events = JsonLinesSink(self.folder / "events.jsonl")
        try:
            report = await self.collection.run(sinks=[everything, events, *sinks], **changes)
            shown = [repr(report), json.dumps(report.to_mapping()), str(report)]
            shown += [str(problem) for problem in report.problems]
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - bugs, too
            shown = ["".join(traceback.format_exception(error)), repr(error), str(error)]
        shown += [self.caplog.text, *(str(item.__dict__) for item in self.caplog.records)]
        return shown + everything.shown

    def check(self, shown: Sequence[str]) -> None:
        """No secret is in what was shown, and none in any file."""
        check(shown, self.collection.root, self.folder)


@pytest.fixture
def witness(collection: Collection, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Witness:
    """The collection, from a source that wants a password."""
    caplog.set_level(logging.DEBUG)
    collection.config["source_url"] = with_user(collection.server)
    (tmp_path / "shown").mkdir()
    return Witness(collection, caplog, tmp_path / "shown")


# Collections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
async def test_a_collection_shows_no_secret(witness: Witness, name: str) -> None:
    inject(witness.collection.server, *FAULTS[name])
    timeout_s = timeout_of(name)
    shown = await witness.run(timeout_seconds=timeout_s)
    again = await witness.run(timeout_seconds=timeout_s, only="failed", force_redownload=True)
    witness.check(shown + again)
    requests = witness.collection.server.requests
    # A busy machine may be silent itself for so long that no request is sent.
    assert any("Authorization" in each.headers for each in requests) or name == "silence"


@pytest.mark.parametrize("name", LISTINGS)
@pytest.mark.parametrize("discovery", ["listing", None])
async def test_a_listing_that_fails_shows_no_secret(
    witness: Witness, name: str, discovery: str | None
) -> None:
    server = witness.collection.server
    server.inject("list:*", LISTINGS[name], endless=True)
    shown = await witness.run(discovery=discovery, listing_url=with_user(server))
    assert "cannot be listed" in "".join(shown)
    witness.check(shown)


async def test_a_source_that_is_not_there_shows_no_secret(witness: Witness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://me:{PASSWORD}@127.0.0.1:{unused.getsockname()[1]}"
    shown = await witness.run(source_url=address)
    shown += await witness.run(source_url=address, listing_url=address, discovery="listing")
    assert "127.0.0.1" in "".join(shown)
    witness.check(shown)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("method", ["handle", "flush", "close"])
async def test_a_bug_in_a_sink_shows_no_secret(
    witness: Witness, method: str, *, required: bool
) -> None:
    class Broken(Everything):
        pass

    async def break_down(*_: object) -> None:
        raise KeyError(with_user(witness.collection.server))

    broken = Broken(name="broken", required=required)
    setattr(Broken, method, break_down)
    shown = await witness.run(sinks=[broken])
    # The sink's own error is the sink's: only what we say of it is ours.
    shown = [each for each in shown if "Traceback" not in each]
    witness.check(shown)
    with pytest.raises(SinkError, match=r"\*\*\*@"):
        raise SinkError("broken", repr(KeyError(with_user(witness.collection.server))))


async def test_a_run_that_is_cancelled_shows_no_secret(witness: Witness) -> None:
    stall = Stall()
    witness.collection.server.inject(KEY, Redirect(f"/{KEY}?{SIGNED}"), stall)
    shown: list[str] = []

    async def run() -> None:
        shown.extend(await witness.run())

    with anyio.fail_after(200):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await stall.reached.passed()
            tasks.cancel_scope.cancel()
    assert any("CancelledError" in each for each in shown)
    witness.check(shown)


@define
class Look:
    """A sink that looks at the ledger's files while the run holds them open."""

    root: Path
    seen: list[str] = field(factory=list)
    name: str = "look"
    required: bool = True

    async def handle(self, _events: Sequence[Event]) -> None:
        for path in (self.root / ".lakehouse").iterdir():
            if path.is_file():
                check([path.read_bytes().decode("latin-1")])
                self.seen.append(path.name)

    async def flush(self) -> None:
        await self.handle(())

    async def close(self) -> None:
        await self.handle(())


async def test_an_open_ledger_holds_no_secret(witness: Witness) -> None:
    inject(witness.collection.server, *FAULTS["a signed place that is corrupt"])
    look = Look(witness.collection.root)
    witness.check(await witness.run(sinks=[look]))
    assert {"ledger.sqlite", "ledger.sqlite-wal"} <= set(look.seen)


# Processes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nothing", "a signed place that is corrupt", "a redirect loop"])
async def test_worker_processes_are_told_secrets_through_their_pipe_alone(
    witness: Witness, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SOURCE_URL", with_user(witness.collection.server))
    told: list[str] = []
    start = asyncio.create_subprocess_exec

    async def remember(*arguments: Any, **options: Any) -> Any:
        told.append(repr((arguments, options)))
        return await start(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    inject(witness.collection.server, *FAULTS[name])
    shown = await witness.run(processes=2)
    assert told
    witness.check([*shown, *told, *capfd.readouterr()])


# Errors that an application sees ---------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
async def test_an_error_that_is_raised_for_failures_shows_no_secret(
    witness: Witness, name: str
) -> None:
    inject(witness.collection.server, *FAULTS[name])
    timeout_s = timeout_of(name)
    report = await witness.collection.run(timeout_seconds=timeout_s)
    try:
        report.raise_for_failures()
    except LakehouseError as error:
        check(["".join(traceback.format_exception(error)), repr(error), repr(error.__dict__)])
