"""From a request to its response: limits, endpoint, faults; one gate for each market."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from attrs import evolve, frozen

from crypto_lakehouse.testing.exchange.clock import SECOND_US, ExchangeClock
from crypto_lakehouse.testing.exchange.limits import Admission, Limits
from crypto_lakehouse.testing.exchange.rest.endpoints import Endpoint, answer, endpoints_of
from crypto_lakehouse.testing.exchange.rest.errors import ApiError, not_found
from crypto_lakehouse.testing.exchange.rest.query import Query, page_size
from crypto_lakehouse.testing.exchange.rules import MarketRules
from crypto_lakehouse.testing.exchange.streams.connection import Opening
from crypto_lakehouse.testing.exchange.streams.door import ConnectionScripts, Door
from crypto_lakehouse.testing.exchange.tape.tape import Tape
from crypto_lakehouse.testing.faults.script import FaultScripts
from crypto_lakehouse.testing.objects.objects import BytesContent, Content
from crypto_lakehouse.testing.objects.responses import BEFORE_HEADERS, ServerResponse, http_date
from crypto_lakehouse.testing.server.request_log import RequestRecord
from crypto_lakehouse.testing.server.response_writer import ResponseWriter
from crypto_lakehouse.testing.server.silences import Silences

__all__ = ["Gate", "World"]

_JSON = {"Content-Type": "application/json;charset=UTF-8"}

_RESTRICTED = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received "
    "this message in error."
)

_TOO_MANY_CONNECTS = "Too many connection attempts from this IP."

_BLOCKED = b"<html><head><title>403 Forbidden</title></head><body>403 Forbidden</body></html>"


@frozen
class World:
    """What the gates of all markets share.

    Attributes:
        log: The requests and their statuses, oldest first.
    """

    clock: ExchangeClock
    tape: Tape
    scripts: FaultScripts
    silences: Silences
    log: list[RequestRecord]
    connection_scripts: ConnectionScripts


class Gate:
    """Answers the requests to one market.

    Args:
        rules: The market's rules.
        world: What all markets share.
        other_weight: What other programs use of each IP's budget, at the start of every minute.

    Attributes:
        refused_with: The status of every answer, 403 or 451; None to answer as usual.
        door: Opens WebSocket connections.
    """

    def __init__(self, rules: MarketRules, world: World, other_weight: int = 0) -> None:
        self.rules = rules
        self.refused_with: int | None = None
        self._world = world
        self._limits = Limits(rules, other_weight)
        self._endpoints = endpoints_of(rules)
        self._lock = threading.Lock()
        self._writer = ResponseWriter(_read, world.silences.keep)
        self.door = Door(rules, world.clock, world.tape, world.connection_scripts)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, or serve the connection that it opens."""
        name = f"{self.rules.market}{request.path}"
        opening: Opening | None = None
        if request.headers.get("Upgrade", "").lower() == "websocket":
            right, opening = self._open(request)
        else:
            right = self._respond(request)
        response = self._world.scripts.take(name).spoil(right)
        status = 0 if response.cut_at == BEFORE_HEADERS else response.status
        self._world.log.append(
            RequestRecord(
                request.method, name, request.headers, status, None, dict(request.rel_url.query)
            )
        )
        if opening is not None and response is right:
            return await self.door.serve(request, opening)
        return await self._writer.send(request, response)

    def _open(self, request: web.BaseRequest) -> tuple[ServerResponse, Opening | None]:
        """Decide on a connection: how it begins, or the response that refuses it."""
        now_us = self._world.clock.now_us
        if self.refused_with is not None:
            return self._decide(request, now_us), None
        wait_s = self.door.wait_s(request.remote or "")
        if wait_s is not None:
            headers = {"Retry-After": str(wait_s)}
            return _json_response(429, {"code": -1003, "msg": _TOO_MANY_CONNECTS}, headers), None
        opening = self.door.opening(request)
        if opening is None or len(opening.streams) > self.rules.live.streams:
            return _json_response(404 if opening is None else 400, not_found().payload), None
        return ServerResponse(101, {}, BytesContent(b"")), opening

    def used_weight(self, ip: str) -> int:
        """The weight that an IP has used in this minute."""
        with self._lock:
            return self._limits.used(self._world.clock.now_us, ip)

    def spend(self, ip: str, weight: int) -> None:
        """Use weight of an IP's budget as another program does."""
        with self._lock:
            self._limits.spend(self._world.clock.now_us, ip, weight)

    def banned_until(self, ip: str) -> int | None:
        """When the ban of an IP ends; None if it is not banned."""
        with self._lock:
            return self._limits.banned_until(self._world.clock.now_us, ip)

    def _respond(self, request: web.BaseRequest) -> ServerResponse:
        now_us = self._world.clock.now_us
        date = {"Date": http_date(datetime.fromtimestamp(now_us // SECOND_US, UTC)), **_SERVER}
        response = self._decide(request, now_us)
        return evolve(response, headers={**date, **response.headers})

    def _decide(self, request: web.BaseRequest, now_us: int) -> ServerResponse:
        if self.refused_with == 451:
            return _json_response(451, {"code": 0, "msg": _RESTRICTED})
        if self.refused_with is not None:
            headers = {"Content-Type": "text/html"}
            return ServerResponse(self.refused_with, headers, BytesContent(_BLOCKED))
        endpoint = self._endpoints.get(request.path)
        name = request.path.rpartition("/")[2]
        values = dict(request.rel_url.query)
        weight = self.rules.weight(name, page_size(self.rules, name, values))
        with self._lock:
            admission = self._limits.admit(
                now_us, request.remote or "", weight, self.rules.bucket_of.get(name)
            )
        if admission.status != 200:
            return self._refusal(admission)
        used = {f"X-MBX-USED-WEIGHT{end}": str(admission.used_weight) for end in self._endings()}
        try:
            if endpoint is None or request.method != "GET":
                raise not_found()
            query = self._query(request, name, values, now_us)
            return _json_response(200, _answer(endpoint, query, request), used)
        except ApiError as error:
            return _json_response(error.status, error.payload, used)

    def _query(
        self, request: web.BaseRequest, name: str, values: Mapping[str, str], now_us: int
    ) -> Query:
        """Read a request.

        Raises:
            ApiError: It asks for a unit of time that is unknown.
        """
        unit = request.headers.get("X-MBX-TIME-UNIT", "MILLISECOND").upper()
        if self.rules.microseconds and unit not in {"MILLISECOND", "MICROSECOND"}:
            text = "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
            raise ApiError(-1194, text)
        is_fine = self.rules.microseconds and unit == "MICROSECOND"
        return Query(
            rules=self.rules,
            tape=self._world.tape,
            endpoint=name,
            values=values,
            headers=request.headers,
            now_us=now_us,
            us_per_unit=1 if is_fine else 1000,
        )

    def _endings(self) -> tuple[str, ...]:
        """Spot sends the header without the minute, too."""
        return ("", "-1M") if self.rules.microseconds else ("-1M",)

    def _refusal(self, admission: Admission) -> ServerResponse:
        headers = {
            "Retry-After": str(admission.retry_after_s),
            "X-MBX-USED-WEIGHT-1M": str(admission.used_weight),
        }
        if admission.until_us is None:
            text = (
                f"Too much request weight used; current limit is {self.rules.weight_per_minute} "
                "request weight per 1 MINUTE. Please use WebSocket Streams for live updates to "
                "avoid polling the API."
            )
        else:
            text = (
                f"Way too much request weight used; IP banned until {admission.until_us // 1000}. "
                "Please use WebSocket Streams for live updates to avoid bans."
            )
        return _json_response(admission.status, {"code": -1003, "msg": text}, headers)


_SERVER = {"Server": "nginx"}


def _answer(endpoint: Endpoint, query: Query, request: web.BaseRequest) -> Any:
    """Answer a request whose parameters may be repeated.

    Raises:
        ApiError: The exchange refuses it.
    """
    if len(request.rel_url.query) > len(query.values):
        raise ApiError(-1101, "Duplicate values for a parameter detected.")
    return answer(endpoint, query)


def _json_response(
    status: int, payload: Any, headers: Mapping[str, str] | None = None
) -> ServerResponse:
    body = json.dumps(payload, separators=(",", ":")).encode()
    return ServerResponse(status, {**_JSON, **(headers or {})}, BytesContent(body))


async def _read(content: Content, start: int, stop: int) -> bytes:
    return content.read(start, stop)
