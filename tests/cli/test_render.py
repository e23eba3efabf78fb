"""Values as people read them."""

from __future__ import annotations

import pytest

from crypto_lakehouse.cli.render import bytes_text, columns_to_drop, duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "1 h"),
        (3700, "1 h 2 min"),
        (86_400, "1 d"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_have_one_or_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (69_497, "69.5 kB"), (2.5e12, "2.5 TB")]
)
def test_sizes_are_decimal(size: float, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("width", "dropped"),
    [(28, []), (27, ["note"]), (20, ["note"]), (19, ["note", "size"]), (1, ["note", "size"])],
)
def test_columns_are_left_out_until_the_rest_fits(width: int, dropped: list[str]) -> None:
    columns, rows = ("symbol", "size", "note"), [("币安人生USD", "9", "two words"), ("X", "10", "")]
    assert columns_to_drop(columns, rows, width, ["note", "size"], ["note"]) == dropped
