"""JSON of files that may be damaged."""

from __future__ import annotations

import pytest

from crypto_lakehouse.core.finite_json import parse_finite

HUGE = "9" * 400


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", HUGE, str(1 << 63), "9" * 5000],
)
def test_a_number_that_cannot_be_calculated_with_is_refused(text: str) -> None:
    for whole in (text, f'{{"a": [{text}]}}'.encode()):
        with pytest.raises(ValueError, match=r"is not a finite number|Exceeds the limit"):
            parse_finite(whole)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"Expect|nested too deeply|can't decode"):
        parse_finite(text)


def test_other_json_is_read() -> None:
    assert parse_finite('{"a": [1, -2.5, null, "NaN"]}') == {"a": [1, -2.5, None, "NaN"]}
    assert parse_finite(str((1 << 63) - 1)) == (1 << 63) - 1
