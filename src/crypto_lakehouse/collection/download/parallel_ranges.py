"""One very large body over several connections, where the source caps what each of them brings.

The body begins to arrive over one connection, as any other. Where that is slow, and the gate has
places that nobody waits for, a second connection asks for a piece further on; if both together
bring that much more, the rest comes in pieces, over as many connections as pay (`range_scaling`).

Pieces are handed on strictly in order, out of a small window in memory. So the part on the disk
remains a growing prefix of the body: hashed as it grows, and resumed like any other.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial

import anyio
from anyio.abc import TaskGroup
from attrs import define, field
from yarl import URL

from crypto_lakehouse.collection.download.byte_ranges import Held, NoRanges, Piece, WholeBody, bring
from crypto_lakehouse.collection.download.range_scaling import Pace, Prospects, Sample, SegmentRules
from crypto_lakehouse.collection.download.stream_to_part import fill
from crypto_lakehouse.core.errors import ObjectChanged, ServerError, TransferError
from crypto_lakehouse.core.protocols import Part
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.http.concurrency_limit import REFUSALS
from crypto_lakehouse.http.transport import Response, read_up_to

__all__ = ["Segments"]

#: A probe begins so far ahead of the first connection that it can be judged before that comes
#: there: what a connection needs to be set up, in seconds.
_SET_UP_S = 1.0


@define
class Segments:
    """Takes large bodies over several connections where that is faster; one for each run.

    Args:
        rules: When, and over how many.
        clock: Seconds, monotonic.
    """

    rules: SegmentRules = field(factory=SegmentRules)
    clock: Callable[[], float] = time.monotonic
    _sources: dict[URL, Prospects] = field(init=False, factory=dict)

    def may_pay(self, url: URL, response: Response, held_bytes: int) -> bool:
        """Whether a body could come in pieces, and is large enough for them to pay.

        Args:
            url: Where it was asked for.
            response: It has just begun.
            held_bytes: How much of the body came before it.
        """
        etag = response.headers.get("ETag", "")
        has_ranges = response.status == 206 or response.headers.get("Accept-Ranges") == "bytes"
        rest = response.size_bytes or 0
        is_large = (
            rest + held_bytes >= self.rules.least_bytes and rest >= self.rules.least_rest_bytes
        )
        is_strong = etag.startswith('"') and etag.isascii()
        return is_large and has_ranges and is_strong and not self._prospects(url).are_none

    async def fill(self, held: Held, part: Part, whole: WholeBody) -> None:
        """Append the rest of a body to a part, as `stream_to_part.fill` does.

        Args:
            held: The rest of the body, over the first connection.
            part: Holds the bytes before it; it is closed whatever happens.
            whole: The body.

        Raises:
            ObjectChanged: The source has another object by now.
            TransferError: The body broke off, or a piece failed after all retries.
            StoreError: The part refused.
        """
        prospects = self._prospects(whole.url)
        with one_error():
            async with anyio.create_task_group() as tasks:
                body = _SegmentedBody(
                    held, part.size_bytes, whole, self.rules, self.clock, prospects, tasks
                )
                try:
                    await fill(body, part, _told_already)
                finally:
                    body.close()

    def _prospects(self, url: URL) -> Prospects:
        return self._sources.setdefault(url.origin(), Prospects(self.rules.rest_s))


def _told_already(_size: int) -> None:
    """Bytes are counted as they arrive, not as they are handed on."""


@define(eq=False)
class _SegmentedBody:
    """The rest of a body, in order, whichever connections it comes over; a `Response`.

    Args:
        held: The first connection's answer.
        position: How many bytes were there before.
        whole, rules, clock, prospects: As in `Segments`.
        tasks: Where the connections beside the first one work.
    """

    _held: Held
    _position: int
    _whole: WholeBody
    _rules: SegmentRules
    _clock: Callable[[], float]
    _prospects: Prospects
    _tasks: TaskGroup
    status: int = field(init=False)
    headers: Mapping[str, str] = field(init=False)
    size_bytes: int | None = field(init=False)
    _pace: Pace = field(init=False)
    _end: int = field(init=False)  # Where the first connection's stretch ends.
    _next: int = field(init=False)  # Where the next piece begins.
    _reach: int = field(init=False)  # How far the first connection has come.
    _came: int = field(init=False, default=0)
    _is_streaming: bool = field(init=False, default=True)
    _is_probe: bool = field(init=False, default=False)
    _pieces: dict[int, Piece] = field(init=False, factory=dict)
    _failure: TransferError | None = field(init=False, default=None)
    _changed: anyio.Event = field(init=False, factory=anyio.Event)
    _staff: int = field(init=False, default=0)
    _crew: set[anyio.CancelScope] = field(init=False, factory=set)
    _swinging: set[anyio.CancelScope] = field(init=False, factory=set)  # Those that bring bytes.
    _seats: int = field(init=False, default=1)  # Places in the gate, the first connection's too.
    _hungry: set[int] = field(init=False, factory=set)  # Pieces that wait for a place.

    def __attrs_post_init__(self) -> None:
        response = self._held.response
        self.status, self.headers = response.status, response.headers
        self.size_bytes = response.size_bytes
        self._pace = Pace(self._rules)
        self._end = self._next = self._whole.size_bytes
        self._reach = self._position

    # In order ----------------------------------------------------------------------------------

    async def read(self, limit: int) -> bytes:
        return await read_up_to(self, limit)

    async def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        async with aclosing(self._held.response.chunks()) as chunks:
            async for chunk in chunks:
                yield self._cut(chunk)
                if self._position == self._end < self._whole.size_bytes:
                    break
        if self._position < self._end or self._end == self._whole.size_bytes:
            return
        await self._hand_over()
        while self._position < self._whole.size_bytes:
            piece = await self._next_piece()
            for chunk in piece.chunks:
                yield chunk
            self._position = piece.end
            del self._pieces[piece.start]
            self._wake()

    def _cut(self, chunk: bytes | bytearray) -> bytes | bytearray:
        """Take a chunk of the first connection, as far as that is to go."""
        self._reach = self._position + len(chunk)
        self._received(len(chunk))
        if self._failure is not None:
            raise self._failure
        if self._reach >= self._end and self._is_probe:
            self._pace.conclude(self._sample())
            self._follow()
        if self._reach > self._end:
            chunk = chunk[: self._end - self._position]
        self._position += len(chunk)
        return chunk

    async def _hand_over(self) -> None:
        """Close the first connection: what follows comes in pieces."""
        self._is_streaming = False
        self._seats -= 1
        await self._held.release()
        self._whole.leave()
        self._hire()
        self._wake()

    async def _next_piece(self) -> Piece:
        while True:
            if self._failure is not None:
                raise self._failure
            piece = self._pieces.get(self._position)
            if piece is not None and piece.is_done:
                return piece
            await self._change()

    async def _change(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        """Let everyone who waits look again."""
        self._changed.set()
        self._changed = anyio.Event()

    def close(self) -> None:
        """Give up whatever is under way."""
        if self._is_probe:
            self._prospects.is_probing = False
        self._tasks.cancel_scope.cancel()
        self._pieces.clear()

    # How many connections ----------------------------------------------------------------------

    @property
    def _wanted(self) -> int:
        """How many connections there should be beside the first one."""
        return self._pace.level - self._is_streaming

    @property
    def _room(self) -> int:
        """How many pieces may be held or under way.

        Twice as many as connections, as none is to wait for the slowest; while the first
        connection still streams, as many as ever, as nothing is handed on before it is through.
        """
        most = self._rules.levels[-1] + 1
        return most if self._is_streaming else min(most, 2 * self._pace.level)

    def _sample(self) -> Sample:
        return Sample(self._clock(), self._came, self._whole.account.meter.received_bytes)

    def _received(self, size: int, scope: anyio.CancelScope | None = None) -> None:
        self._whole.count(size)
        if scope is not None:
            self._swinging.add(scope)
        self._came += size
        connections = len(self._swinging) + self._is_streaming
        if self._pace.observe(self._sample(), connections) or (
            self._pace.phase == "steady" and connections == self._pace.level
        ):
            self._follow()

    def _follow(self) -> None:
        """Do what the pace says."""
        pace = self._pace
        if self._is_probe and pace.phase != "probing":
            self._end_probe()
        elif pace.phase == "watching":
            self._consider_probe()
        level = pace.next_level
        if level is not None and self._whole.gate.free >= level - pace.level:
            pace.grow(level)
        self._hire()

    def _consider_probe(self) -> None:
        rules, rate = self._rules, self._pace.rate
        rest = self._whole.size_bytes - self._reach
        judged_in_s = _SET_UP_S + rules.settle_s + rules.trial_s
        ahead = max(2 * rules.piece_bytes, int(rate * judged_in_s))
        if (
            self._staff == 0
            and rest >= max(rules.least_rest_bytes, rate * rules.least_rest_s)
            and rest >= ahead + rules.piece_bytes
            and self._whole.gate.free > 0
            and self._prospects.may_probe(self._clock())
        ):
            self._is_probe = self._prospects.is_probing = True
            self._end = self._next = self._reach + ahead
            self._pace.probe()

    def _end_probe(self) -> None:
        self._is_probe = self._prospects.is_probing = False
        if self._pace.phase == "steady":
            self._prospects.paid()
            return
        self._prospects.fruitless(self._clock())
        self._end = self._next = self._whole.size_bytes
        self._pieces.clear()
        for scope in self._crew:
            scope.cancel()

    def _hire(self) -> None:
        while self._staff < self._wanted and self._next < self._whole.size_bytes:
            self._staff += 1
            self._tasks.start_soon(self._work)

    # Pieces ------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Bring pieces over a connection of one's own, one after the other."""
        with anyio.CancelScope() as scope:
            self._crew.add(scope)
            try:
                while (piece := await self._claim()) is not None:
                    await self._bring(piece, scope)
            finally:
                self._staff -= 1
                self._crew.discard(scope)
                self._swinging.discard(scope)
                self._wake()

    async def _claim(self) -> Piece | None:
        """Take the next piece; None where this connection is one too many."""
        while True:
            start, size = self._next, self._whole.size_bytes
            if start >= size or self._staff > self._wanted or self._failure is not None:
                return None
            if len(self._pieces) < self._room:
                break
            await self._change()
        self._next = min(size, start + self._rules.piece_bytes)
        piece = self._pieces[start] = Piece(start, self._next)
        return piece

    async def _bring(self, piece: Piece, scope: anyio.CancelScope) -> None:
        try:
            failure = await self._whole.retry.call(self._whole.on_retry, self._try, piece, scope)
        except TransferError as error:
            # It was tried as often as one request may be; the whole body is not tried again.
            error.transient = False
            failure = error
        self._failure = self._failure or failure
        self._wake()

    async def _try(self, piece: Piece, scope: anyio.CancelScope) -> TransferError | None:
        """Fetch what is missing of a piece; return an error that no retry of it can help.

        Raises:
            TransferError: One that a retry may help.
        """
        level = self._pace.level
        try:
            await self._within_limit(piece, scope)
        except ObjectChanged as error:
            self._prospects.fruitless(self._clock())
            return error
        except TransferError as error:
            self._swinging.discard(scope)
            if isinstance(error, NoRanges):
                self._prospects.no_ranges()
            if self._is_probe:
                self._pace.give_up()
                self._follow()
            elif isinstance(error, NoRanges):
                return error
            else:
                self._yield_to(error, level)
                raise
        return None

    def _yield_to(self, error: TransferError, level: int) -> None:
        """Go on with fewer connections, once for all that were refused together."""
        is_refusal = isinstance(error, ServerError) and error.status in REFUSALS
        if is_refusal and level <= self._pace.level:
            self._pace.refused()

    async def _within_limit(self, piece: Piece, scope: anyio.CancelScope) -> None:
        gate, failure = self._whole.gate, None
        entered_at = await self._enter(piece.start, scope)
        try:
            await bring(self._whole, piece, partial(self._received, scope=scope))
        except BaseException as error:
            failure = error
            raise
        finally:
            self._seats -= 1
            gate.leave(entered_at, 0, failure)
            self._wake()

    async def _enter(self, start: int, scope: anyio.CancelScope) -> float:
        """Take a place that nobody waits for; wait in line only while the body has none at all."""
        gate = self._whole.gate
        self._hungry.add(start)
        try:
            while start != min(self._hungry) or (gate.free <= 0 and self._seats > 0):
                self._swinging.discard(scope)
                await self._change()
            self._seats += 1
        finally:
            self._hungry.discard(start)
            self._wake()
        try:
            return await gate.enter()
        except BaseException:
            self._seats -= 1
            raise
