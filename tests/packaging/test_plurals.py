"""Counts in messages: one archive is not `1 archives`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crypto_lakehouse

ROOT = Path(crypto_lakehouse.__file__).parent

#: A noun in the plural behind a number, perhaps with an adjective or two between them.
_PLURAL = re.compile(r" (?!of |in )(?:[a-z]+ ){0,2}?([a-z]+[^s\W]s)\b")

#: Verbs, and a noun that is the same in the singular.
_NOT_COUNTED = {
    "series", "stays", "lacks", "fits", "needs", "has", "was", "does", "lists", "begins", "says",
}  # fmt: skip

#: Files whose numbers are limits, or never one: what the number is.
_NEVER_ONE = {
    "zips/check.py: packed": "bytes that unpack to a bomb",
    "zips/member.py: packed": "bytes that unpack to a bomb",
    "zips/stream_check.py: packed": "bytes that unpack to a bomb",
    "zips/member.py: len(entries)": "a number that is not one",
    "charts/candle_chart.py: len(order)": "a number above the limit",
    "collection/circuit_breaker.py: self._failed": "a number above the limit",
    "core/archive.py: wrong": "the word few or many",
    "core/plan.py: len(plan.failures)": "a number above the limit",
    "collection/byte_budget.py: self.limit_bytes": "a limit that is hardly one byte",
    "collection/byte_budget.py: size": "a number above a limit",
    "workflows/status.py: asked.runs": "a number above another",
    "tables/ingest/stored_rows.py: count": "rows of a month, in two archives",
    "stores/open_files.py: open_files_limit()": "a process needs more than one",
    "workflows/wiring/holes_file.py: len(problems)": "a number above the limit",
    "testing/exchange/rest/bars.py: query.rules.bars_span_days": "the exchange's own words",
    "testing/exchange/rest/trades.py: window_s // 3600": "the exchange's own words",
    "tables/lake/grid.py: _LONGEST.days": "a limit",
    "executors/processes/one_answer.py: most_bytes": "a limit",
    "http/s3_listing.py: page_keys": "a number below the limit",
    "http/s3_listing.py: self.most_pages": "a limit",
}


def _suspects(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the expression of a number, and the plural behind it, of each f-string."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, text in zip(node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(text, ast.Constant):
                continue
            found = _PLURAL.match(str(text.value))
            number = ast.unparse(value.value)
            is_limit = re.fullmatch(r"_?[A-Z_]+", number)
            if found and found[1] not in _NOT_COUNTED and not is_limit:
                yield number, found[0]


def test_no_message_has_a_plural_behind_a_number_that_may_be_one() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {number}": plural
        for path in sorted(ROOT.rglob("*.py"))
        for number, plural in _suspects(ast.parse(path.read_text()))
    }
    assert {name: text for name, text in found.items() if name not in _NEVER_ONE} == {}, (
        "write plural(number, noun), or agreeing(number, text)"
    )


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ('f"{n} archives"', True),
        ('f"{n:,} new archives are here"', True),
        ("f\"{plural(n, 'archive')} planned\"", False),
        ('agreeing(n, f"{n} archive[s] [is|are] here")', False),
        ('f"{n} series"', False),
        ('f"{_LIMIT} rows"', False),
    ],
)
def test_plurals_are_found_in_source(text: str, *, is_found: bool) -> None:
    assert bool([*_suspects(ast.parse(text))]) is is_found
