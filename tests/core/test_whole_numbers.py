"""Numbers in text from outside are plain and bounded, or they are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.whole_numbers import STORABLE, whole_number


@given(st.integers(0, STORABLE - 1))
def test_a_number_that_can_be_stored_is_read(number: int) -> None:
    assert whole_number(str(number)) == number


@pytest.mark.parametrize(
    "text",
    [None, "", "-1", "+1", " 1", "1 ", "1_0", "1.0", "1e3", "١", "²", f"{2**63}", "9" * 5_000],
)  # fmt: skip
def test_anything_else_is_none(text: str | None) -> None:
    assert whole_number(text) is None


def test_a_bound_is_not_reached() -> None:
    assert (whole_number("9", below=10), whole_number("10", below=10)) == (9, None)


@given(st.text())
def test_no_text_raises(text: str) -> None:
    number = whole_number(text)
    assert number is None or 0 <= number < STORABLE
