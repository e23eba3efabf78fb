"""Faults of responses, as a plain client sees them."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from tests.testing.exchange.conftest import Client

from crypto_lakehouse.testing import faults

BARS = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3"
AGGS = "/api/v3/aggTrades?symbol=BTCUSDT&limit=3"


async def both(client: Client, path: str, fault: faults.Fault) -> tuple[Any, Any]:
    """What is right, and what comes with a fault."""
    right = await client.get("spot", path)
    client.server.inject("spot/api/v3/*", fault)
    wrong = await client.get("spot", path)
    assert await client.get("spot", path) == right
    return right, wrong


async def test_malformed_json_is_no_json(client: Client) -> None:
    client.server.inject("*klines", faults.MalformedJson())
    async with client.session.get(client.server.url("spot") + BARS) as answer:
        text = await answer.text()
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert json.loads(text + "]") == await client.get("spot", BARS)


async def test_decimals_can_come_as_numbers(client: Client) -> None:
    right, wrong = await both(client, BARS, faults.PlainNumbers())
    assert [float(row[1]) for row in right] == [row[1] for row in wrong]
    assert {type(row[1]) for row in wrong} == {float}
    right, wrong = await both(client, AGGS, faults.PlainNumbers())
    assert wrong[0] == right[0] | {"p": float(right[0]["p"]), "q": float(right[0]["q"])}
    right, wrong = await both(client, "/api/v3/exchangeInfo", faults.PlainNumbers())
    assert wrong["timezone"] == "UTC"


async def test_a_field_can_be_missing(client: Client) -> None:
    right, wrong = await both(client, BARS, faults.MissingField(0))
    assert (wrong[:2], wrong[2]) == (right[:2], right[2][1:])
    right, wrong = await both(client, AGGS, faults.MissingField("p"))
    assert set(right[2]) - set(wrong[2]) == {"p"}
    assert wrong[:2] == right[:2]
    right, wrong = await both(client, "/api/v3/time", faults.MissingField("serverTime"))
    assert wrong == {}
    right, wrong = await both(client, AGGS, faults.MissingField(0))
    assert wrong == right


async def test_time_can_go_back_and_ids_repeat(client: Client) -> None:
    right, wrong = await both(client, AGGS, faults.TimeBack())
    assert wrong[2] == right[2] | {"T": right[0]["T"] - 1}
    right, wrong = await both(client, BARS, faults.TimeBack())
    assert wrong[2][0] == right[0][0] - 1
    right, wrong = await both(client, AGGS, faults.RepeatedId())
    assert wrong[2] == right[2] | {"a": right[1]["a"]}
    right, wrong = await both(client, BARS, faults.RepeatedId())
    assert wrong[2][0] == wrong[1][0]
    for fault in (faults.TimeBack(), faults.RepeatedId()):
        right, wrong = await both(client, "/api/v3/time", fault)
        assert wrong == right


async def test_an_error_has_no_rows_to_change(client: Client) -> None:
    client.server.inject("*", faults.PlainNumbers())
    status, _, body = await client.ask("spot", "/api/v3/klines?symbol=NOPE&interval=1m")
    assert (status, body["code"]) == (400, -1121)


async def test_faults_of_the_connection_work_as_on_an_archive_server(client: Client) -> None:
    server = client.server
    server.inject("spot/*", faults.Status(503, retry_after="7"))
    status, headers, _ = await client.ask("spot", "/api/v3/time")
    assert (status, headers["Retry-After"]) == (503, "7")
    assert server.requests[-1].status == 503
    server.inject("spot/*", faults.Truncate(at=5))
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.ask("spot", BARS)
    stall = faults.Stall(at=3)
    server.inject("futures_um/*", stall)
    async with client.session.get(server.url("futures_um") + "/fapi/v1/time") as answer:
        assert await answer.content.readexactly(3) == b'{"s'
        server.release()
        assert (await answer.read()).startswith(b"erverTime")
    server.inject("spot/*", faults.Status(500), endless=True)
    server.heal()
    assert (await client.ask("spot", "/api/v3/time"))[0] == 200


async def test_a_random_script_can_be_repeated(client: Client) -> None:
    script = faults.random_json_faults(7, 60)
    assert script == faults.random_json_faults(7, 60) != faults.random_json_faults(8, 60)
    assert {type(fault).__name__ for fault in faults.random_json_faults(7, 300)} == {
        "MalformedJson", "PlainNumbers", "MissingField", "TimeBack", "RepeatedId", "Status",
        "Truncate", "Cut", "Reset", "Fault",
    }  # fmt: skip
    outcomes = []
    for fault in script:
        client.server.inject("spot/*", fault)
        connector = aiohttp.TCPConnector(force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get(client.server.url("spot") + AGGS) as answer,
            ):
                outcomes.append((answer.status, json.loads(await answer.text())))
        except (aiohttp.ClientError, json.JSONDecodeError, ConnectionError) as error:
            outcomes.append((0, type(error).__name__))
        client.server.clock.advance(60)
    assert client.server.count("spot/*") == 60
    assert {status for status, _ in outcomes} >= {0, 200}
