"""From a request to its response: the one coroutine that serves them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import web
from attrs import frozen

from crypto_lakehouse.testing.faults.kinds import Fault
from crypto_lakehouse.testing.faults.script import FaultScripts
from crypto_lakehouse.testing.objects.object_store import ObjectStore, Unknown
from crypto_lakehouse.testing.objects.objects import Content, StoredObject
from crypto_lakehouse.testing.objects.responses import (
    BEFORE_HEADERS,
    ServerResponse,
    error_response,
    response_for,
    xml_response,
)
from crypto_lakehouse.testing.server.listing import ListingQuery, list_page, page_xml
from crypto_lakehouse.testing.server.request_log import LISTING, RequestRecord
from crypto_lakehouse.testing.server.response_writer import ResponseWriter
from crypto_lakehouse.testing.server.silences import Silences

__all__ = ["Handler"]

T = TypeVar("T")

#: Path-style S3 addresses begin with the bucket's name.
_BUCKET = "data.binance.vision"


@frozen
class _Target:
    """The target of a request: an object by its key, or a page of the listing."""

    name: str
    is_listing: bool
    query: Mapping[str, str]

    @classmethod
    def of(cls, request: web.BaseRequest) -> _Target:
        key = unquote(request.rel_url.raw_path).removeprefix("/")
        if key == _BUCKET or key.startswith(f"{_BUCKET}/"):
            key = key[len(_BUCKET) + 1 :]
        query = dict(request.rel_url.query)
        if key:
            return cls(key, is_listing=False, query=query)
        return cls(LISTING + query.get("prefix", ""), is_listing=True, query=query)


class Handler:
    """Answers requests, one coroutine for each, and keeps the log of them.

    Args:
        store: The objects.
        scripts: The faults.

    Attributes:
        log: The requests and their statuses, oldest first.
        active: How many requests are being answered now.
        peak: The most that were ever answered at the same time.
        executor: Runs work that would block the event loop; set while serving.
    """

    def __init__(self, store: ObjectStore, scripts: FaultScripts) -> None:
        self.log: list[RequestRecord] = []
        self.active = 0
        self.peak = 0
        self.executor: Executor | None = None
        self._store = store
        self._scripts = scripts
        self._silences = Silences()
        self._writer = ResponseWriter(self._read, self._silences.keep)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self.active += 1
        self.peak = max(self.peak, self.active)
        try:
            target = _Target.of(request)
            answer = await self._decide(request, target)
            self._record(request, target, answer)
            return await self._writer.send(request, answer)
        finally:
            self.active -= 1

    def forget(self) -> None:
        """Reset the log and the peak."""
        self.log.clear()
        self.peak = self.active

    def release(self) -> None:
        """End all current silences."""
        self._silences.release()

    def _record(self, request: web.BaseRequest, target: _Target, answer: ServerResponse) -> None:
        self.log.append(
            RequestRecord(
                request.method,
                target.name,
                request.headers,
                0 if answer.cut_at == BEFORE_HEADERS else answer.status,
                request.headers.get("Range"),
                target.query,
            )
        )

    async def _decide(self, request: web.BaseRequest, target: _Target) -> ServerResponse:
        fault = self._scripts.take(target.name)
        if request.method not in {"GET", "HEAD"}:
            text = "The specified method is not allowed against this resource."
            return fault.spoil(error_response(405, "MethodNotAllowed", text))
        if target.is_listing:
            return fault.spoil(await self._listing(target.query))
        stored = await self._altered(target.name, fault)
        return fault.spoil(response_for(target.name, stored, request.headers))

    async def _altered(self, key: str, fault: Fault) -> StoredObject | None:
        found = self._store.peek(key)
        if isinstance(found, Unknown):
            found = await self._in_thread(partial(self._store.get, key))
        altered = fault.alter(key, found)
        if fault.lasting:
            self._store.put(key, altered)
        return altered

    async def _listing(self, fields: Mapping[str, str]) -> ServerResponse:
        if "list-type" in fields:
            text = "This server speaks version 1 of ListObjects only."
            return error_response(501, "NotImplemented", text)
        try:
            query = ListingQuery.parse(fields)
        except ValueError as error:
            return error_response(400, "InvalidArgument", str(error))
        return xml_response(200, await self._in_thread(partial(self._page, query)))

    def _page(self, query: ListingQuery) -> str:
        page = list_page(query, self._store.keys_after)
        return page_xml(query, page, self._store.entry)

    async def _read(self, content: Content, start: int, stop: int) -> bytes:
        if content.ready:
            return content.read(start, stop)
        return await self._in_thread(partial(content.read, start, stop))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.executor, work)
