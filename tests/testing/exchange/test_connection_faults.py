"""Each fault of a connection, as a plain client sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.testing.exchange.conftest import Client
from tests.testing.exchange.feed import Feed, feed

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing import ExchangeServer, faults
from crypto_lakehouse.testing.exchange.streams.line import Dropped, Line

TRADES = "/ws/btcusdt@trade"


async def ids_with(
    server: ExchangeServer, *script: faults.ConnectionFault
) -> tuple[list[int], Feed]:
    """The ids of the trades of two minutes, from the first one that is due, counted from 1."""
    server.script_connection("spot/*", *script)
    trades = server.tape.get(Market.SPOT, "BTCUSDT")
    assert trades is not None
    due = trades.trades.count_before(server.clock.now_us + 1)
    async with feed(server, "spot", TRADES) as live:
        await live.advance(120)
        await live.advance(0)
    return [json.loads(text)["t"] - due for text in live.texts], live


async def test_a_plain_connection_gets_everything(client: Client) -> None:
    ids, live = await ids_with(client.server)
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) > 20
    assert live.record.code is None


@pytest.mark.parametrize(
    ("fault", "code", "last"),
    [
        (faults.DropConnection(5), 1006, 4),
        (faults.CloseConnection(5), 1001, 4),
        (faults.CloseConnection(5, code=1012), 1012, 4),
        (faults.ShutDown(5, more=3), 1001, 7),
        (faults.DropConnection(1), 1006, 0),
    ],
)
async def test_ends(client: Client, fault: Any, code: int, last: int) -> None:
    ids, live = await ids_with(client.server, fault)
    assert ids == list(range(1, last + 1))
    assert live.socket.close_code == code
    assert live.record.code == code
    assert len(live.shutdowns) == isinstance(fault, faults.ShutDown)
    again, _ = await ids_with(client.server)
    assert len(again) > 20  # the next connection has no fault


async def test_losses_repetitions_and_orders(client: Client) -> None:
    ids, _ = await ids_with(
        client.server,
        faults.SkipMessages(2),
        faults.SkipMessages(4, count=3),
        faults.RepeatMessage(8),
        faults.SwapMessages(10),
    )
    assert ids[:9] == [1, 3, 7, 8, 8, 9, 11, 10, 12]


async def test_silence_keeps_the_connection(client: Client) -> None:
    ids, live = await ids_with(client.server, faults.GoSilent(4))
    assert ids == [1, 2, 3]
    assert live.record.code is None
    assert live.record.pings == live.record.pongs == 1


async def test_pings_can_stop(client: Client) -> None:
    client.server.script_connection("spot/*", faults.StopPings(3))
    async with feed(client.server, "spot", TRADES) as live:
        await live.advance(3600)
        await live.advance(3600)
        assert live.record.pings == 0
        assert live.record.code is None
        assert len(live.texts) > 1000


async def test_messages_can_be_malformed(client: Client) -> None:
    script = (
        faults.AlterMessage(1),
        faults.AlterMessage(2, fault=faults.PlainNumbers()),
        faults.AlterMessage(3, fault=faults.MissingField("p")),
        faults.AlterMessage(4, fault=faults.MalformedJson()),
    )
    for path in (TRADES, "/stream?streams=btcusdt@trade"):
        client.server.script_connection("spot/*", *script)
        async with feed(client.server, "spot", path) as live:
            await live.advance(120)
        for text in (live.texts[0], live.texts[3]):
            with pytest.raises(json.JSONDecodeError):
                json.loads(text)
        values = [json.loads(text) for text in (*live.texts[1:3], live.texts[4])]
        second, third, fifth = [value.get("data", value) for value in values]
        assert isinstance(second["p"], float)
        assert "p" not in third
        assert isinstance(fifth["p"], str)


async def test_scripts_match_paths_and_can_be_forgotten(client: Client) -> None:
    server = client.server
    server.script_connection("futures_um/*", faults.DropConnection(1))
    server.script_connection("spot/*", faults.DropConnection(1))
    server.heal()
    ids, _ = await ids_with(server)
    assert len(ids) > 20
    with pytest.raises(ValueError, match="two faults are at message 3"):
        server.script_connection("*", faults.SkipMessages(3), faults.RepeatMessage(3))
    with pytest.raises(TypeError, match="'fault' must be"):
        faults.AlterMessage(1, fault=faults.RepeatedId())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must be >= 1"):
        faults.SkipMessages(0)


@pytest.mark.parametrize("seed", range(12))
async def test_random_scripts_lose_only_what_they_say(client: Client, seed: int) -> None:
    script = faults.random_connection_script(seed, 15)
    assert script == faults.random_connection_script(seed, 15)
    ids, live = await ids_with(client.server, *script)
    skipped = {one.at for one in script if isinstance(one, faults.SkipMessages)}
    assert set(range(1, 15)) - set(ids) <= skipped | {14}
    ends = [one for one in script if one.at == 15]
    expected = {
        faults.DropConnection: 1006, faults.CloseConnection: 1001, faults.ShutDown: 1001,
    }.get(type(ends[0]) if ends else object)  # fmt: skip
    assert live.record.code == expected


def test_random_scripts_have_every_kind() -> None:
    kinds = {type(one) for seed in range(60) for one in faults.random_connection_script(seed, 30)}
    assert len(kinds) == 8
    assert faults.random_connection_script(1, 1) is not None


FAULTS = st.dictionaries(
    st.integers(1, 20),
    st.sampled_from([faults.SkipMessages, faults.RepeatMessage, faults.SwapMessages]),
)


@given(FAULTS, st.sampled_from([None, faults.DropConnection, faults.GoSilent]))
def test_losses_repetitions_and_swaps_are_those_of_a_model(kinds: Any, end: Any) -> None:
    script = [kind(at) for at, kind in kinds.items() if at != 15 or end is None]
    script += [] if end is None else [end(15)]
    got: list[str] = []

    async def send(text: str) -> None:
        got.append(text)

    async def announce() -> None:
        raise AssertionError

    async def deliver() -> None:
        line = Line(send, announce, script)
        with contextlib.suppress(Dropped):
            for number in range(1, 22):
                await line.deliver(str(number))
        assert line.sent == len(got)

    asyncio.run(deliver())
    last = 21 if end is None else 14
    kept = [at for at in range(1, last + 1) if kinds.get(at) is not faults.SkipMessages]
    expected: list[int] = []
    held: int | None = None
    for at in kept:
        if kinds.get(at) is faults.SwapMessages and held is None:
            held = at
            continue
        expected += [at] * (2 if kinds.get(at) is faults.RepeatMessage else 1)
        if held is not None:
            expected.append(held)
            held = None
    assert got == [str(at) for at in expected]
