"""The fuzzer's targets under hypothesis: seeds, and what is left of them when they are spoilt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

_CASES = [
    pytest.param(name, seed, id=f"{name} {number}")
    for name, found in seeds().items()
    for number, seed in enumerate(found)
]


@st.composite
def spoilt(draw: st.DrawFn, name: str) -> bytes:
    """A seed with some bytes changed, cut out, repeated, or put in from another seed."""
    data = bytearray(draw(st.sampled_from(seeds()[name])))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from([0, 1, 1, 4, 40, 4000])))
        other = draw(st.sampled_from(seeds()[name]))
        place = draw(st.integers(0, len(other)))
        new = draw(
            st.binary(max_size=3)
            | st.sampled_from(
                [b"", b"\0", b"\xff", b"-1", b"99999999999999999999", b"\r\n", b"%00"]
            )
            | st.just(bytes(data[start:stop]) * 2)
            | st.just(other[place : place + 40])
        )
        data[start:stop] = new
    return bytes(data)


@pytest.mark.parametrize(("name", "seed"), _CASES)
def test_seeds_keep_every_promise(name: str, seed: bytes) -> None:
    TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=examples(150))
@given(data=st.data())
def test_spoilt_seeds_keep_every_promise(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(spoilt(name)))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=examples(50))
@given(data=st.binary(max_size=300))
def test_any_bytes_keep_every_promise(name: str, data: bytes) -> None:
    TARGETS[name](data)
