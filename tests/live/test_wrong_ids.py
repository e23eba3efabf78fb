"""Single ids that are wrong: what comes behind them is followed as if they had not come."""

from __future__ import annotations

import json
from collections import Counter
from itertools import count
from pathlib import Path

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import IS_THOROUGH
from tests.live.recording import recording

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.chain import PATIENCE_S, Chain, Gap
from crypto_lakehouse.live.series import LiveSeries
from crypto_lakehouse.live.streams import LiveStream, streams_of
from crypto_lakehouse.testing import ExchangeServer

FAR = 10**9


@define
class Followed:
    """A chain of which the gaps are looked for each second, as a recorder does."""

    chain: Chain = field(factory=Chain)
    now: float = 0.0
    gaps: list[Gap] = field(factory=list)
    wrong: list[str] = field(factory=list)
    restarts: list[str] = field(factory=list)

    def take(self, *numbers: int) -> list[bool]:
        return [self.chain.take(number - 1, number, self.now) for number in numbers]

    def wait(self, seconds: int, patience_s: float = PATIENCE_S) -> None:
        for _ in range(seconds):
            self.now += 1.0
            while gap := self.chain.break_at(self.now, patience_s):
                self.gaps.append(gap)
            self.wrong += self.chain.taken_wrong()
            self.restarts += self.chain.taken_beginnings()


def test_an_id_far_ahead_is_named_and_the_next_ones_are_new() -> None:
    for pause in (0, 1, 100):
        one = Followed()
        assert all(one.take(*range(100, 110), 110 + FAR))
        one.wait(pause)
        assert all(one.take(*range(110, 120)))
        assert not any(one.take(*range(110, 120)))
        one.wait(4)
        assert one.gaps == []
        assert one.chain.last == 119
        assert one.wrong == [f"its id {110 + FAR} is far ahead of those before and behind it"]
        one.take(122)
        one.wait(4)
        assert one.gaps == [Gap(119, 121)]
        assert one.chain.duplicates == 10


def test_an_id_far_ahead_at_the_end_is_a_hole_that_is_not_fetched() -> None:
    one = Followed()
    one.take(1, 2, FAR)
    one.wait(100)
    assert one.gaps == []
    one.wait(1, 0.0)
    assert one.gaps == [Gap(2, FAR - 1, is_sure=False)]


def test_ids_that_go_on_far_ahead_are_believed() -> None:
    one = Followed()
    one.take(1, 2, FAR)
    one.wait(10)
    one.take(FAR + 3)
    one.wait(10)
    assert one.gaps == [Gap(2, FAR - 1), Gap(FAR, FAR + 2)]
    assert one.wrong == []


def test_ids_that_begin_again_are_followed_and_said() -> None:
    one = Followed()
    one.take(*range(1000, 1010))
    assert one.take(1, 2, 4) == [True] * 3
    one.wait(4)
    assert one.restarts == ["its ids begin again at 1, behind 1009"]
    assert one.gaps == [Gap(2, 3)]
    assert all(one.take(*range(5, 20)))
    assert not any(one.take(*range(5, 20)))
    assert (one.chain.last, one.chain.duplicates, one.wrong) == (19, 15, [])


def test_ids_that_begin_again_among_those_that_came_are_known_by_their_age() -> None:
    one = Followed()
    for number in range(3000):
        one.take(number)
        one.wait(1)
    assert one.chain.duplicates == 0
    assert not any(one.take(*range(2990, 3000)))  # as another connection repeats them
    assert all(one.take(*range(20)))
    one.wait(4)
    assert all(one.take(*range(20, 30)))
    assert (one.chain.last, len(one.restarts)) == (29, 1)


def test_one_that_goes_back_is_named() -> None:
    one = Followed()
    one.take(*range(100, 110), 7, 110, 111)
    one.wait(4)
    assert one.wrong == ["its id 7 is far behind those before and behind it"]
    assert (one.chain.first, one.chain.last, one.chain.duplicates) == (99, 111, 0)
    assert one.restarts == []


def test_those_that_come_late_at_the_beginning_are_none_of_these() -> None:
    one = Followed()
    assert all(one.take(100, 101, 97, 98, 99))
    one.wait(10)
    assert one.take(102) == [True]
    assert (one.chain.first, one.chain.last) == (96, 102)
    assert (one.gaps, one.wrong, one.restarts) == ([], [], [])


#: What happens to an id: it is not sent, is sent twice, or behind the next one, or another one,
#: which is far from it, is sent before. Then some seconds pass.
steps = st.lists(
    st.tuples(
        st.sampled_from(["", "lost", "twice", "late", "ahead", "back"]),
        st.integers(1, 9),
        st.integers(0, 8),
    ),
    max_size=40,
)


@settings(max_examples=3000 if IS_THOROUGH else 100, deadline=None)
@given(steps)
def test_each_id_is_new_or_in_a_gap(script: list[tuple[str, int, int]]) -> None:
    """Whatever wrong ids come alone, each real one counts once, or is missing."""
    one, ids = Followed(), count(10_000)
    came: Counter[int] = Counter()
    lost: set[int] = set()
    sent: list[int] = [next(ids)]
    copies = strange = 0
    for what, size, seconds in [*script, ("", 1, 5)]:
        for number in sent:
            copies += number in came
            came[number] += one.take(number)[0]
        sent = [next(ids)]
        if what == "lost":
            lost.update(sent)
            sent = []
        elif what == "twice":
            sent *= 2
        elif what == "late":
            sent.insert(0, next(ids))
        elif what:
            strange += 1
            # No two of them follow each other.
            one.take(sent[0] + 2_000 * 10**size + strange if what == "ahead" else 2 * size)
        one.wait(seconds)
    one.take(*sent, next(ids))
    one.wait(5)
    one.wait(1, 0.0)
    assert all(gap.until - gap.after < 200 for gap in one.gaps)
    missing = [number for gap in one.gaps for number in range(gap.first, gap.until + 1)]
    assert sorted(missing) == sorted(lost)
    assert set(came.values()) == {1}
    assert copies <= one.chain.duplicates <= copies + strange
    assert one.restarts == []
    assert len(one.wrong) <= strange


def change(stream: LiveStream, first: int, last: int) -> bytes:
    data = {"s": stream.symbol, "U": first, "u": last, "pu": first - 1, "b": [], "a": []}
    return json.dumps({"stream": stream.name, "data": data}).encode()


@pytest.mark.parametrize("market", [Market.SPOT, Market.FUTURES_UM])
def test_a_book_goes_on_behind_a_wrong_id_and_ends_where_ids_begin_again(market: Market) -> None:
    series = LiveSeries(LiveStream(market, StreamKind.DEPTH, "BTCUSDT"))
    follower = series.depth
    assert follower is not None
    book, now = follower.book, 0.0

    def take(first: int, last: int) -> None:
        nonlocal now
        now += 1.0
        series.take(change(series.stream, first, last), now)
        assert follower.chain.break_at(now, PATIENCE_S) is None
        follower.release()

    take(101, 110)
    book.snapshot({"lastUpdateId": 105, "bids": [], "asks": []}, limit=1000)
    for first, last in ((111, 120), (FAR, FAR + 9), *((121 + n, 121 + n) for n in range(9))):
        take(first, last)
    assert (book.update_id, follower.breaks) == (129, [])
    assert len(follower.chain.taken_wrong()) == 1
    for number in range(1, 9):
        take(number, number)
    assert book.waiting == (5, 8)
    [broken] = follower.breaks
    assert (broken.update_id, broken.cause) == (129, "the ids of its changes begin again")


async def test_a_recording_names_wrong_ids_and_asks_for_nothing(tmp_path: Path) -> None:
    streams = [*streams_of(Market.SPOT, (StreamKind.AGG_TRADE,), ["BTCUSDT"], ["1m"])]
    async with ExchangeServer() as exchange:
        async with recording(exchange, tmp_path, streams) as recorded:
            [series] = recorded.recorder.series.values()
            chain = series.chain
            assert chain is not None
            await recorded.until(lambda: chain.last)
            asked = len(exchange.requests)
            last = chain.last
            lane = recorded.recorder._running[0].lane
            counts = recorded.recorder.counts
            for wrong, number in enumerate((FAR, 3), start=1):
                name = series.stream.name
                lane.message(1, b'{"stream":"%b","data":{"a":%d}}' % (name.encode(), number))
                await recorded.until(lambda wrong=wrong: counts.unreadable == wrong)
            assert len(exchange.requests) == asked
        assert chain.last > last
        assert (counts.unreadable, counts.hole_count, counts.filled, chain.duplicates) == (
            2,
            0,
            0,
            0,
        )
        assert [note.split(" of ")[0].split()[-1] for note in recorded.notes] == ["ahead", "it"]
        assert "is far ahead of those before" in counts.first_unreadable
