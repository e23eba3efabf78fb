"""A validation's report on standard output."""

from __future__ import annotations

import io
import json
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crypto_lakehouse.charts.validation_html import headline, visible
from crypto_lakehouse.cli.validate_output import MOST_FINDINGS, print_json, print_report
from crypto_lakehouse.tables.quality.findings import (
    ArchiveQuality,
    Finding,
    Severity,
    ValidationReport,
)


def finding(key: str, severity: Severity = Severity.WARNING, **more: Any) -> Finding:
    given = {"check": "gaps", "rows": 1440, "sentence": "bars are absent", **more}
    return Finding(key=key, severity=severity, **given)


def report(*findings: Finding, good: int = 2) -> ValidationReport:
    """One archive for each finding, some good ones and one that cannot be read."""
    found = [ArchiveQuality(key=each.key, rows=9000, findings=(each,)) for each in findings]
    rest = [ArchiveQuality(key=f"good/{number}", rows=5) for number in range(good)]
    archives: Any = (*found, *rest, ArchiveQuality(key="z", fault="line 3: cut"))
    return ValidationReport(archives=archives)


def printed(of: ValidationReport, *, terminal: bool = False, **more: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    print_report(of, console, **more)
    return file.getvalue()


def test_a_pipe_gets_a_line_for_each_entry() -> None:
    known = finding("data/b", Severity.ERROR, check="ohlc", source="binance-public-data#365")
    of = report(finding("data/a", sentence="bars are absent, " * 30), known)
    assert printed(of).splitlines() == [
        "# verdicts: verdict, archives",
        "unreadable\t1",
        "error\t1",
        "warning\t1",
        "good\t2",
        "# checks: worst, check, archives, rows, new",
        "error\tohlc\t1\t1440\t0",
        "warning\tgaps\t1\t1440\t1",
        "# findings: severity, archive, check, rows, what was found, policy, known from",
        "unreadable\tz\t\t\tline 3: cut\t\t",
        "error\tdata/b\tohlc\t1440\tbars are absent\treport\tbinance-public-data#365",
        "warning\tdata/a\tgaps\t1440\t" + "bars are absent, " * 30 + "\treport\tnew",
        headline(of),
    ]


def test_a_terminal_gets_tables() -> None:
    out = printed(report(finding("data/币安人生USDT")), terminal=True)
    for text in ("verdicts", "checks", "findings", "what was found", "data/币安人生USDT", "1,440"):
        assert text in out
    assert "━" in out
    assert max(map(len, out.splitlines())) <= 120


def test_only_the_worst_findings_are_printed() -> None:
    some = [finding(f"a{number}") for number in range(30)]
    out = printed(report(*some, finding("z9", Severity.ERROR)))
    assert out.count("bars are absent") == MOST_FINDINGS - 1
    assert "error\tz9" in out
    assert "and 12 findings more; --json lists them all\n" in out
    assert "more;" not in printed(report(*some), most_findings=31)
    assert "and 1 finding more;" in printed(report(*some), most_findings=30)


def test_good_archives_take_two_lines() -> None:
    archives: Any = [ArchiveQuality(key="a", rows=5)]
    assert printed(ValidationReport(archives=archives)).splitlines() == [
        "# verdicts: verdict, archives",
        "good\t1",
        "Nothing was found in 1 archive with 5 rows.",
    ]
    assert printed(ValidationReport(archives=())) == "No archive was checked.\n"


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_nothing_is_taken_for_markup_or_for_an_order(*, terminal: bool) -> None:
    text = "[red]no[/red] [/] \x1b]0;title\x07\t\n"
    out = printed(report(finding("k", sentence=text, check=text)), terminal=terminal)
    assert "\x07" not in out
    assert "\x1b" not in out
    assert "[red]" in out
    assert visible(text).endswith(r"\x07\t\n")


@given(text=st.text(st.characters()))
def test_a_pipe_has_as_many_lines_and_fields_whatever_the_texts_are(text: str) -> None:
    of = report(finding(text, sentence=text, check=text, source=text))
    lines = printed(of).encode("utf-8").decode().split("\n")
    assert len(lines) == 11
    assert {line.count("\t") for line in lines[7:9]} == {6}


@given(text=st.text(st.characters()))
def test_json_is_one_object_on_one_line(text: str) -> None:
    of = report(finding(text, sentence=text))
    out = CliRunner().invoke(click.Command("validate", callback=lambda: print_json(of))).stdout
    assert out.endswith("\n")
    assert len(out.split("\n")) == 2
    assert json.loads(out) == json.loads(json.dumps(of.as_dict()))
    assert json.loads(out)["problems"][0]["findings"][0]["sentence"] == text
