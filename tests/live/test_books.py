"""A book equals a plain model at its update id, or is marked broken and begun anew."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import IS_THOROUGH

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.live import books
from crypto_lakehouse.live.books import Book, BookStep

SPOT, UM = Market.SPOT, Market.FUTURES_UM
APPLIED, HELD, OLD, BROKEN = BookStep.APPLIED, BookStep.HELD, BookStep.OLD, BookStep.BROKEN

Side = dict[int, int]


@define
class Exchange:
    """A plain model: both sides after every update."""

    market: Market
    draw: Callable[[st.SearchStrategy[Any]], Any]
    states: dict[int, tuple[Side, Side]] = field(factory=lambda: {5: ({}, {})})
    last_id: int = 5

    def _update(self) -> tuple[int, int, int]:
        """Change a level; return its side, price and quantity."""
        side, price = self.draw(st.integers(0, 1)), self.draw(st.integers(1, 6))
        quantity = self.draw(st.integers(0, 3))
        sides = tuple(dict(each) for each in self.states[self.last_id])
        if quantity:
            sides[side][price] = quantity
        else:
            sides[side].pop(price, None)
        # Ids of futures are shared with other symbols: some are missing.
        self.last_id += 1 if self.market is SPOT else self.draw(st.integers(1, 3))
        self.states[self.last_id] = (sides[0], sides[1])
        return side, price, quantity

    def diff(self) -> dict[str, Any]:
        """The event of some updates."""
        before = self.last_id
        changed: tuple[Side, Side] = ({}, {})
        first = 0
        for _ in range(self.draw(st.integers(1, 3))):
            side, price, quantity = self._update()
            first = first or self.last_id
            changed[side][price] = quantity
        event = {"s": "BTCUSDT", "U": first, "u": self.last_id} | dict(
            zip("ba", map(rows, changed), strict=True)
        )
        return event if self.market is SPOT else event | {"pu": before}

    def snapshot(self, at: int, limit: int) -> dict[str, Any]:
        """The response after an update."""
        bids, asks = self.states[at]
        best = {price: bids[price] for price in sorted(bids, reverse=True)[:limit]}
        return {
            "lastUpdateId": at,
            "bids": rows(best),
            "asks": rows({price: asks[price] for price in sorted(asks)[:limit]}),
        }

    def confirm(self, book: Book, lowest: int, highest: int) -> None:
        """Compare a book with the model, within the prices that its snapshot had."""
        assert book.update_id is not None
        # On futures an id may be of another symbol; the levels are those of the update before.
        bids, asks = self.states[max(each for each in self.states if each <= book.update_id)]
        assert book.bids() == sorted(levels(bids, lambda at: at >= lowest), reverse=True)
        assert book.asks() == sorted(levels(asks, lambda at: at <= highest))


def rows(side: Side) -> list[list[str]]:
    return [[f"{price}.00", f"{quantity}.0"] for price, quantity in side.items()]


def joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """One diff of all changes of two, as on a connection that sends at other times."""
    sides = {side: [*dict([*first[side], *second[side]]).items()] for side in "ba"}
    return first | {"u": second["u"]} | {side: [[*x] for x in sides[side]] for side in "ba"}


def levels(side: Side, known: Callable[[int], bool]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(each)) for price, each in side.items() if known(price)]


@define
class Delivery:
    """Brings diffs and snapshots of an exchange to a book, with faults."""

    exchange: Exchange
    book: Book
    late: list[dict[str, Any]] = field(factory=list)
    before: dict[str, Any] | None = None
    known: tuple[int, int] = (0, 99)

    def diff(self, fault: str) -> None:
        """The next diff; one that is late comes after the next one."""
        event = self.exchange.diff()
        if fault == "overlap" and self.before is not None:
            event = joined(self.before, event)
        self.before = event
        if fault == "late":
            self.late.append(event)
            return
        if fault == "damage":
            wrong = self.exchange.draw(st.sampled_from(["U", "u", "b", "s"]))
            assert self.book.diff(event | {wrong: None}) is BROKEN
        elif fault != "skip":
            self.book.diff(event)
        if fault == "repeat":
            self.book.diff(event)
        if self.late:
            self.book.diff(self.late.pop())

    def snapshot(self, at: int) -> None:
        """A snapshot after an update, of some levels."""
        limit = self.exchange.draw(st.integers(1, 7))
        value = self.exchange.snapshot(at, limit)
        if self.book.snapshot(value, limit=limit) is APPLIED:
            bids, asks = ([int(float(row[0])) for row in value[side]] for side in ("bids", "asks"))
            self.known = (
                min(bids) if len(bids) >= limit else 0,
                max(asks) if len(asks) >= limit else 99,
            )

    def confirm(self) -> None:
        """The book is that of its update, or has no levels."""
        if self.book.is_proven:
            self.exchange.confirm(self.book, *self.known)
        else:
            assert (self.book.bids(), self.book.asks()) == ([], [])


FAULTS = (
    *["none"] * 5, "skip", "repeat", "late", "overlap", "snapshot", "old snapshot", "damage",
    "lost",
)  # fmt: skip


@settings(max_examples=1000 if IS_THOROUGH else 40, deadline=None)
@given(st.data(), st.sampled_from([SPOT, UM]), st.lists(st.sampled_from(FAULTS), max_size=25))
def test_a_book_is_that_of_its_update_id_or_broken(
    data: st.DataObject, market: Market, script: list[str]
) -> None:
    exchange, book = Exchange(market, data.draw), Book(market, "BTCUSDT")
    delivery = Delivery(exchange, book)
    for fault in script:
        delivery.diff(fault)
        if fault == "lost":
            book.lost("the connection ended")
        elif fault == "snapshot":
            delivery.snapshot(exchange.last_id)
        elif fault == "old snapshot":
            delivery.snapshot(data.draw(st.sampled_from(sorted(exchange.states))))
        delivery.confirm()
    # Whatever happened, a snapshot and the diffs that follow it make a book.
    delivery.snapshot(exchange.last_id)
    for _ in range(2):
        delivery.diff("none")
    assert book.update_id == exchange.last_id
    delivery.confirm()


def event(first: int, last: int, **changes: Any) -> dict[str, Any]:
    return {"s": "BTCUSDT", "U": first, "u": last, "b": [["1.0", "2"]], "a": []} | changes


def at(last_id: int, **changes: Any) -> dict[str, Any]:
    return {"lastUpdateId": last_id, "bids": [], "asks": [["9.0", "1"]]} | changes


def test_spot_begins_with_the_diff_that_has_the_next_id() -> None:
    book = Book(SPOT, "BTCUSDT")
    assert [book.diff(event(*ids)) for ids in ((3, 5), (6, 8), (6, 8))] == [HELD, HELD, OLD]
    assert book.snapshot(at(1), limit=5) is OLD
    assert not book.is_proven
    assert book.snapshot(at(7), limit=5) is APPLIED
    assert (book.update_id, book.bids(), book.breaks) == (8, [(Decimal(1), Decimal(2))], 0)
    assert (book.snapshot(at(8), limit=5), book.diff(event(6, 8))) == (OLD, OLD)
    assert book.diff(event(10, 11)) is BROKEN
    assert book.broken_by == "the ids behind 8 up to 9 are missing"
    assert book.snapshot(at(9), limit=5) is APPLIED
    assert book.update_id == 11


def test_futures_begin_with_the_diff_around_the_snapshot_or_behind_it() -> None:
    for last_id, step in ((11, OLD), (12, APPLIED), (17, APPLIED), (20, APPLIED)):
        book = Book(UM, "BTCUSDT")
        assert book.diff(event(15, 20, pu=12)) is HELD
        assert book.snapshot(at(last_id), limit=5) is step
    assert book.diff(event(25, 30, pu=20)) is APPLIED
    assert book.diff(event(31, 32, pu=31)) is BROKEN
    assert book.broken_by == "the ids behind 30 up to 31 are missing"


def test_a_gap_among_the_diffs_that_wait_begins_them_anew() -> None:
    book = Book(SPOT, "BTCUSDT")
    assert (book.diff(event(3, 5)), book.waiting) == (HELD, (3, 5))
    assert (book.diff(event(8, 9)), book.waiting) == (BROKEN, (8, 9))
    assert book.snapshot(at(4), limit=5) is OLD
    assert book.snapshot(at(7), limit=5) is APPLIED


def test_only_the_newest_diffs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MOST_HELD", 3)
    book = Book(SPOT, "BTCUSDT")
    for number in range(1, 6):
        book.diff(event(number, number))
    assert [book.snapshot(at(last), limit=5) for last in (1, 2)] == [OLD, APPLIED]


@pytest.mark.parametrize(
    "changes",
    [
        {"s": "ETHUSDT"}, {"U": True}, {"u": "5"}, {"U": 6}, {"b": None}, {"b": [["1"]]},
        {"a": ["12"]}, {"a": [["NaN", "1"]]}, {"a": [["1", 1.5]]}, {"a": [["1", "-1"]]},
    ],
)  # fmt: skip
def test_a_damaged_diff_breaks_the_book(changes: dict[str, Any]) -> None:
    book = Book(SPOT, "BTCUSDT")
    book.snapshot(at(4), limit=5)
    assert book.diff(event(5, 5, **changes)) is BROKEN
    assert (book.is_proven, book.asks(), book.breaks) == (False, [], 1)
    assert book.snapshot(at(4, bids=[["1", None]]), limit=5) is BROKEN
    assert not book.is_proven


def test_a_book_without_levels_is_proven_alike() -> None:
    book = Book(SPOT, "BTCUSDT", keeps_levels=False)
    assert [book.diff(event(5, 6)), book.snapshot(at(5), limit=1)] == [HELD, APPLIED]
    assert (book.update_id, book.bids(), book.asks()) == (6, [], [])
    assert book.diff(event(7, 8, b=[["1", 2]])) is BROKEN
