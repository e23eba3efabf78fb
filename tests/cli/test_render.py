"""Values as people read them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.screen import OnTerminal, Screen

from crypto_lakehouse.cli import render
from crypto_lakehouse.cli.render import bytes_text, columns_to_drop, duration_text, print_columns
from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.state import StateFolder


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


def test_a_column_that_a_table_lacks_cannot_be_left_out() -> None:
    assert columns_to_drop(("a", "b"), [("123", "4567")], 5, ["absent", "b"], []) == ["b"]


@pytest.mark.parametrize("width", [30, 46, 70])
def test_a_first_plan_fits_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    plan = ["plan", "-o", "out", "-s", "1000SHIBUSDT_260925", "--markets", "futures_um",
            "-t", "premiumIndexKlines", "-i", "1m", "--date", "2025-01",
            "--discovery", "calendar"]  # fmt: skip
    with OnTerminal(plan, tmp_path, width) as terminal:
        assert terminal.read_all() == 0
    assert "1000SHIBUSDT_260925" in "".join(Screen(width).feed(terminal.text).rows)


def collected(folder: Path, *, types: int = 1) -> list[str]:
    """A ledger with holes of several series; the command that shows them."""
    series = [
        Series(Market.FUTURES_UM, data_type, f"1000SHIBUSDT_26092{number}", "15m")
        for data_type in (DataType.PREMIUM_INDEX_KLINES, DataType.KLINES)[:types]
        for number in range(2)
    ]
    days = ("2025-07-01", "2025-07-04")
    state = StateFolder(folder / "out")
    state.make()
    ledger, _ = SqliteLedger.open(state.ledger)
    with closing(ledger):
        ledger.write(
            ArchiveFinished(
                archive=Archive(each, Period.parse(day)),
                verdict=Verdict.VERIFIED,
                facts=ObjectFacts(size_bytes=1000),
            )
            for each in series
            for day in days
        )
    return ["status", "-o", "out", "--start", days[0], "--end", days[1]]


def test_a_table_that_is_too_wide_is_cut_with_a_mark(tmp_path: Path) -> None:
    with OnTerminal(collected(tmp_path), tmp_path, 30) as terminal:
        assert terminal.read_all() == 0
    rows = Screen(30).feed(terminal.text).rows
    [cells, _] = [row.split("│") for row in rows if row.startswith(" 1000SHIB")]
    assert [cell.strip()[-1:] for cell in cells] == ["…", "…", "…", ""]


@pytest.mark.parametrize(("width", "whole"), [(80, False), (120, False), (150, True)])
def test_the_reasons_of_holes_are_there_at_every_usual_width(
    tmp_path: Path, width: int, whole: bool
) -> None:
    command = [*collected(tmp_path, types=2), "--holes"]
    with OnTerminal(command, tmp_path, width) as terminal:
        assert terminal.read_all() == 0
    screen = Screen(width).feed(terminal.text)
    assert screen.wrapped == 0
    shown = [[cell.strip() for cell in row.split("│")] for row in screen.rows]
    holes = [row for row in shown if "2025-07-02" in row]
    assert len(holes) == 4
    text = " ".join(cell for row in shown for cell in row)
    for words in ("futures_um", "klines", "premiumIndexKlines", "1000SHIBUSDT_260921", "15m"):
        assert words in text
    reasons = " ".join(row[-1] or row[-2] for row in shown if len(row) >= 5)
    assert reasons.count("no run has settled it") == 4
    assert ("days" in " ".join(screen.rows).partition("holes ")[2].partition("2025")[0]) == whole


_LONG_NAME = "long_name  string\n"


@pytest.mark.parametrize(
    ("width", "wanted"),
    [
        (None, "symbol      string  the market's name of it\nlong_name   string\n"),
        (40, "symbol     string  the market's name of\n                   it\nlong_name  string\n"),
        (24, "symbol     string\n    the market's name of\n    it\nlong_name  string\n"),
        (4, "symbol     string\n    the\n    market's\n    name\n    of\n    it\n" + _LONG_NAME),
    ],
)
def test_a_description_goes_on_beside_or_below_its_name(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int | None,
    wanted: str,
) -> None:
    monkeypatch.setattr(render, "_screen_width", lambda: width)
    rows = [("symbol", "string", "the market's name of it"), ("long_name", "string", "")]
    print_columns(rows, (12, 8))
    assert capsys.readouterr().out == wanted
    print_columns([], (8, 8))
