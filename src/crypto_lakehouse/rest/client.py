"""Send requests to the exchange's API, within the budgets of its hosts."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import anyio
from attrs import define, field, frozen
from yarl import URL

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.errors import (
    BadAnswerError,
    BodyTooLarge,
    ExchangeRefused,
    HostRefusedError,
    PlaceRefusedError,
    ServerError,
    TransferError,
    UnknownSymbolError,
)
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.listed import header_date
from crypto_lakehouse.core.whole_numbers import whole_number
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.content_encoding import decoded_text
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.transport import (
    Client,
    HttpTransport,
    Response,
    Transport,
    object_url,
    retry_after_s,
    server_error,
)
from crypto_lakehouse.rest.answers import Faulty
from crypto_lakehouse.rest.budget import HostBudget
from crypto_lakehouse.rest.endpoints import API_OF, Bucket, Endpoint, MarketApi
from crypto_lakehouse.rest.kept_pages import KeptPages
from crypto_lakehouse.rest.server_clock import ServerClock
from crypto_lakehouse.rest.usage import Usage
from crypto_lakehouse.segments.fill_segment import FillResponse

__all__ = ["RestClient", "RestHost"]

_Rows = TypeVar("_Rows")

#: Called before each retry with the failed attempt (1 is the first), the wait, and the error.
OnRetry = Callable[[int, float, TransferError], Awaitable[None]]

#: The largest answers, pages of 1,500 bars, have less than 300 kB.
_LARGEST_BODY = 16 << 20

#: A request that is refused so often, each time after the wait that was asked for, is given up.
_MOST_REFUSALS = 4

_UNKNOWN_SYMBOL = -1121

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def _no_report(_attempt: int, _wait_s: float, _error: TransferError) -> None:
    """Report nothing."""


def _wall() -> datetime:
    return datetime.now(UTC)


@frozen
class _Answered:
    """A successful response."""

    body: bytes
    sent_at_s: float


@define(eq=False)
class RestHost:
    """One market's host.

    Attributes:
        url: Its base URL, perhaps with user information.
        clock: Its time.
        budget: What may be sent to it.
    """

    market: Market
    url: URL = field(repr=False)
    transport: Transport = field(repr=False)
    clock: ServerClock
    budget: HostBudget
    _asking: anyio.Lock = field(init=False, factory=anyio.Lock)

    @property
    def api(self) -> MarketApi:
        """The market's API."""
        return API_OF[self.market]

    async def know_time(self) -> None:
        """Ask for the server's time, unless it is known.

        Raises:
            TransferError: There is no usable answer.
            HostRefusedError: The host refuses this machine.
        """
        if not self.clock.is_known:
            async with self._asking:
                await self._ask_time()

    async def _ask_time(self) -> None:
        if self.clock.is_known:  # another one has asked meanwhile
            return
        path = f"{self.api.prefix}/time"
        begun = self.clock.local()
        answered = await self.send(path, {}, 1, None)
        try:
            moment_ms = parse_finite(answered.body)["serverTime"]
            if not isinstance(moment_ms, int) or moment_ms < 0:
                raise ValueError(f"serverTime is {moment_ms}")
        except (ValueError, KeyError, TypeError) as error:
            fault = f"it has no time of the server: {error}"
            raise BadAnswerError(str(self._at(path)), fault, answered.body) from None
        self.clock.saw(moment_ms / 1000, 0.001, begun, self.clock.local())

    async def send(
        self,
        path: str,
        params: Mapping[str, str],
        weight: int,
        bucket: Bucket | None,
        usage: Usage | None = None,
    ) -> _Answered:
        """Send a request once it fits into the budget, again if it is refused with 429.

        Args:
            path: Of the endpoint.
            params: The parameters.
            weight: What one request uses.
            bucket: The limit on requests that it counts for.
            usage: Counts what is sent.

        Raises:
            TransferError: There is no usable response.
            HostRefusedError: The host refuses this machine.
        """
        url = self._at(path).with_query(params)
        for _ in range(_MOST_REFUSALS):
            ticket = await self.budget.take(weight, bucket)
            if usage is not None:
                usage.add(weight)
            sent = self.clock.local()
            sent_at = self.clock.now()
            used = moment_s = None
            try:
                async with self.transport.get(url, self.api.headers) as response:
                    received = self.clock.local()
                    used = whole_number(response.headers.get("X-MBX-USED-WEIGHT-1M"))
                    if used is not None:  # else it may be a proxy that answers, with its own time
                        moment_s = self._see_date(response, sent, received)
                    if response.status == 200:
                        body = await self._body(url, response)
                        return _Answered(body, sent_at)
                    await self._refused(url, params, response, used if bucket is None else None)
            finally:
                self.budget.settle(ticket, used, moment_s)
        error = ServerError(str(url), 429)
        error.transient = False  # it was sent again already, after the waits that were asked for
        raise error

    def _at(self, path: str) -> URL:
        return object_url(self.url, path.lstrip("/"))

    def _see_date(self, response: Response, sent: float, received: float) -> float | None:
        date = header_date(response.headers.get("Date", ""))
        if date is None or date.tzinfo is None:
            return None
        moment_s = date.timestamp()
        self.clock.saw(moment_s, 1.0, sent, received)
        return moment_s

    async def _body(self, url: URL, response: Response) -> bytes:
        body = await response.read(_LARGEST_BODY + 1)
        text = decoded_text(body, response.headers, _LARGEST_BODY + 1)
        if len(text) > _LARGEST_BODY:
            raise BodyTooLarge(str(url), _LARGEST_BODY, "no page of rows has so many")
        return text

    async def _refused(
        self, url: URL, params: Mapping[str, str], response: Response, used: int | None
    ) -> None:
        """Act on a status that is no success; return if the request may be sent again.

        Raises:
            TransferError: This request failed.
            HostRefusedError: Nothing more may be sent.
        """
        host = self.budget.host
        status = response.status
        wait_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
        if status == 451:
            raise self._end(PlaceRefusedError(host))
        if status in {403, 418}:
            raise self._end(HostRefusedError(host, status, wait_s))
        if status == 429:
            self.budget.stop(wait_s, used)
            return
        if status >= 500 or status in {407, 408}:
            raise server_error(url, response)
        code, message = _code_of(await response.read(_LARGEST_BODY))
        if code == _UNKNOWN_SYMBOL:
            raise UnknownSymbolError(str(url), params.get("symbol") or params.get("pair", ""))
        raise ExchangeRefused(str(url), status, code, message)

    def _end(self, error: HostRefusedError) -> HostRefusedError:
        self.budget.refuse(error)
        return error


def _code_of(body: bytes) -> tuple[int, str]:
    """The exchange's code and message; 0 if the body has none."""
    try:
        value = parse_finite(body)
        return int(value["code"]), str(value["msg"])
    except (ValueError, KeyError, TypeError):
        return 0, ""


@define(eq=False)
class RestClient:
    """Asks the exchange, with one budget for each host.

    Attributes:
        hosts: By market.
        retry: How often, and after which waits, a failed request is sent again.
        on_retry: Called before each retry.
        wall: The machine's time, which provenance names; nothing is decided by it.
        pages: The newest page of each series.
        next_ids: Where the days of aggTrades begin, as far as that is known: by series and
            microsecond, the first id from then on. What follows a filled day is not searched again.
    """

    hosts: Mapping[Market, RestHost] = field(repr=False)
    retry: RetryPolicy
    on_retry: OnRetry = field(default=_no_report, repr=False)
    wall: Callable[[], datetime] = field(default=_wall, repr=False)
    pages: KeptPages = field(init=False, factory=KeptPages, repr=False)
    next_ids: dict[tuple[object, int], int] = field(init=False, factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        client: Client,
        urls: Mapping[Market, str] | None = None,
        *,
        retry: RetryPolicy | None = None,
        on_retry: OnRetry = _no_report,
        redirect_hosts: tuple[str, ...] = (),
        allow_http: bool = False,
        local: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        wall: Callable[[], datetime] = _wall,
        asks_again: bool = False,
    ) -> RestClient:
        """Create a client that asks only the hosts that are named here.

        Args:
            client: Sends requests; see `http.client.engine_client`.
            urls: The base URL of each market, where it is not the exchange's own.
            retry: See `retry`; its sleep should be `sleep`, too.
            on_retry: See `on_retry`.
            redirect_hosts: Further hosts that redirects may lead to.
            allow_http: Whether redirects may lead to other machines without TLS.
            local: A clock that only goes forward, in seconds.
            sleep: Sleeps for seconds of `local`.
            wall: See `wall`.
            asks_again: See `HostBudget`.
        """
        bases = {market: api.url for market, api in API_OF.items()} | dict(urls or {})
        hosts = {}
        for market, base in bases.items():
            clock = ServerClock(local)
            url = URL(base)
            budget = HostBudget(
                url.host_port_subcomponent or base, API_OF[market].weight_per_minute, clock, sleep,
                asks_again=asks_again,
            )  # fmt: skip
            allowed = AllowedHosts.of(base, redirect_hosts, allow_http=allow_http)
            hosts[market] = RestHost(market, url, HttpTransport(client, allowed), clock, budget)
        return cls(hosts, retry or RetryPolicy(sleep=sleep), on_retry, wall)

    async def now(self, market: Market) -> datetime:
        """The time of a market's server, which is asked for it once.

        Raises:
            TransferError: There is no usable answer.
            HostRefusedError: The host refuses this machine.
        """
        host = self.hosts[market]
        await self.retry.call(self.on_retry, host.know_time)
        return _moment(host.clock.now())

    async def get(
        self,
        market: Market,
        endpoint: Endpoint,
        params: Mapping[str, str | int],
        limit: int | None,
        read: Callable[[bytes], _Rows],
        *,
        usage: Usage | None = None,
    ) -> tuple[FillResponse, _Rows]:
        """Ask for one page, and read it.

        Args:
            market: Whose host is asked.
            endpoint: What is asked.
            params: Beside those of the endpoint.
            limit: The page size, which decides about the weight; None if there are no pages.
            read: Reads the rows; it raises `Faulty` if the answer is damaged, and the page is then
                asked for again.
            usage: Counts every request that is sent.

        Raises:
            BadAnswerError: The answer is damaged each time.
            TransferError: There is no usable response.
            HostRefusedError: The host refuses this machine.
        """
        host = self.hosts[market]
        given = {name: str(value) for name, value in params.items()}
        sent = {**endpoint.params, **given}
        if limit is not None:
            sent["limit"] = str(limit)
        url = str(object_url(host.url, endpoint.path.lstrip("/")))

        async def once() -> tuple[FillResponse, _Rows]:
            await host.know_time()
            weight = endpoint.weight(limit or 0)
            answered = await host.send(endpoint.path, sent, weight, endpoint.bucket, usage)
            try:
                rows = read(answered.body)
                body = answered.body.decode()
            except ValueError as fault:
                why = str(fault) if isinstance(fault, Faulty) else "it is not text in UTF-8"
                asked = str(URL(url).with_query(sent))
                raise BadAnswerError(asked, why, answered.body) from None
            response = FillResponse(
                url=url,
                params=sent,
                received_at=self.wall(),
                server_time=_moment(answered.sent_at_s),
                status=200,
                body=body,
            )
            return response, rows

        return await self.retry.call(self.on_retry, once)


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
