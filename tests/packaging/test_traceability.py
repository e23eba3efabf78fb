"""Every functional requirement has a form of EARS, a name of its own, and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.documentation.reference.requirements import requirements

_TESTS = Path(__file__).parents[1]

_SUBJECT = r"(?:the (?:program|run|website)|it) shall (?:not )?\w+"

#: Always, at an event, in a state, with an option, if something goes wrong.
_EARS = re.compile(
    rf"(?:{_SUBJECT}|(?:When|While|Where) [^.]+?, {_SUBJECT}|If [^.]+?, then {_SUBJECT})"
    r"[^.]*(?:\.\w[^.]*)*\.",
    re.IGNORECASE,
)

REQUIREMENTS = [*requirements()]


def test_each_requirement_has_a_form_of_ears() -> None:
    assert len(REQUIREMENTS) > 50
    assert [each for each in REQUIREMENTS if not _EARS.fullmatch(each.text)] == []
    assert _EARS.fullmatch("Archives are verified.") is None


def test_each_requirement_has_a_name_and_a_sentence_of_its_own() -> None:
    assert len({each.identity for each in REQUIREMENTS}) == len(REQUIREMENTS)
    assert len({each.text for each in REQUIREMENTS}) == len(REQUIREMENTS)


def is_there(name: str) -> bool:
    """Whether a function is in its file, or a file or folder has any test."""
    path, _, function = name.partition("::")
    place = _TESTS / path
    files = place.rglob("test_*.py") if place.is_dir() else [place][: place.is_file()]
    wanted = rf"def {function}\(" if function else r"def test_|^class Test"
    return any(re.search(wanted, each.read_text(), re.MULTILINE) for each in files)


def test_each_requirement_is_held_by_tests_that_are_there() -> None:
    assert all(each.tests for each in REQUIREMENTS)
    named = {name for each in REQUIREMENTS for name in each.tests}
    assert {name for name in named if not is_there(name)} == set()
    assert not is_there("packaging/test_site.py::test_nothing")
    assert not is_there("packaging/test_nowhere.py")
