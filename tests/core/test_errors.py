"""One tree of errors: fields on each, a sentence that says what to do, an exit code."""

from __future__ import annotations

import inspect
import re

import pytest
from tests.core.conftest import KEY, totals

from crypto_lakehouse.core import errors
from crypto_lakehouse.core.errors import (
    ArchiveKeyError,
    ConfigurationError,
    LakehouseError,
    LedgerError,
    LockHeldError,
    LostLockError,
    MatrixError,
    Problem,
    RunningLoopError,
    SelectionError,
    ServerError,
    SidecarMalformed,
    SinkError,
    StoreError,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.core.report import ArchiveProblem, CollectionFailed, CollectionReport
from crypto_lakehouse.core.verdicts import Verdict

URL = "https://mirror.example/data.zip"
CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, Exception) and not issubclass(member, Warning)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_one_except_clause_catches_every_error(kind: type[Exception]) -> None:
    assert issubclass(kind, LakehouseError)
    assert inspect.getdoc(kind)


def test_every_public_error_is_drawn_in_the_tree() -> None:
    drawn = set(re.findall(r"\b[A-Z][A-Za-z]+\b", errors.__doc__ or ""))
    public = {kind.__name__ for kind in CLASSES if not kind.__name__.startswith("_")}
    assert public <= drawn


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ArchiveKeyError("a\n", "too short"), "'a\\n' is not an archive key: too short"),
        (
            RunningLoopError("Work"),
            "Work.execute() is synchronous and an event loop is already running here; "
            "use `await Work.run()` instead",
        ),
        (
            LockHeldError("o/lock"),
            "another run holds the lock `o/lock`; wait for it to end, "
            "or choose another output directory",
        ),
        (LedgerError("o/ledger", "locked"), "`o/ledger`: locked"),
        (StoreError("o/a.zip", "is a directory"), "`o/a.zip`: is a directory"),
        (SinkError("ledger", "disk full"), "the ledger sink failed: disk full"),
        (TimedOut(URL, "silent for 300 s"), f"{URL}: silent for 300 s"),
        (TruncatedBody(URL, expected=9, received=4), f"{URL}: body ended after 4 of 9 bytes"),
        (ServerError(URL, 503), f"{URL}: the source answered 503"),
        (SidecarMalformed(KEY, "empty"), f"{KEY}: malformed sidecar: empty"),
    ],
)
def test_an_error_says_what_happened_to_what(error: LakehouseError, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (ConfigurationError, "invalid configuration"),
        (lambda problems: MatrixError("m.json", problems), "invalid matrix `m.json`"),
    ],
)
def test_every_problem_stands_on_its_own_line(make: type[ConfigurationError], head: str) -> None:
    one, two = Problem("$.a", "is missing"), Problem("$.b[0]", "must be a number")
    assert str(make(iter([one]))) == f"{head}, 1 problem:\n  $.a: is missing"
    both = make(iter([one, two]))
    assert both.problems == (one, two)
    assert str(both) == (f"{head}, 2 problems:\n  $.a: is missing\n  $.b[0]: must be a number")


def test_problems_of_options_are_told_as_such() -> None:
    option, key = Problem("--symbols", "is empty"), Problem("$.symbols", "is empty")
    head = "invalid options, 1 problem:"
    assert str(ConfigurationError([option])) == f"{head}\n  --symbols: is empty"
    assert str(ConfigurationError([option, key])).startswith("invalid configuration, 2 problems")
    assert str(SelectionError([option])).startswith("invalid selection, 1 problem")
    assert str(ConfigurationError([])).startswith("invalid configuration, 0 problems")


def test_problems_never_show_secrets() -> None:
    problem = Problem("$.source_url", "unknown value `https://me:hunter2@h`")
    for shown in (problem, ConfigurationError([problem]), MatrixError("m.json", [problem])):
        assert "hunter2" not in str(shown)
        assert "hunter2" not in repr(shown)
    assert "hunter2" not in str(Problem("$.https://me:hunter2@h", "unknown key"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError([]), 2),
        (MatrixError("m.json", []), 2),
        (ArchiveKeyError("a", "b"), 2),
        (LockHeldError("lock"), 11),
        (StoreError("a", "b"), 1),
        (LostLockError("a", "b"), 11),
        (TransferError(URL, "reason"), 1),
        (errors.LakeError("lake", "reason", is_unreachable=True), 5),
    ],
)
def test_exit_codes_follow_the_contract(error: LakehouseError, code: int) -> None:
    assert error.exit_code == code


@pytest.mark.parametrize(
    ("status", "transient"),
    [(400, False), (401, False), (403, True), (408, True), (410, False), (416, False),
     (429, True), (499, False), (500, True), (503, True), (599, True)],
)  # fmt: skip
def test_a_status_says_whether_trying_again_can_help(status: int, transient: bool) -> None:
    error = ServerError(URL, status, retry_after_s=7.5)
    assert (error.status, error.retry_after_s) == (status, 7.5)
    assert error.transient is transient
    assert (error.url, error.reason) == (URL, f"the source answered {status}")


def test_the_transfer_errors_that_no_retry_helps() -> None:
    final = {kind for kind in CLASSES if issubclass(kind, TransferError) and not kind.transient}
    assert final == {
        errors.BodyTooLarge,
        errors.ExchangeRefused,
        errors.FillUnavailable,
        errors.RedirectRefused,
        errors.TlsRefused,
        errors.UnknownSymbolError,
    }


def test_a_transfer_error_shows_no_secret_not_even_in_its_fields() -> None:
    error = TransferError("https://me:hunter2@h/x?X-Amz-Signature=hunter2", "token=hunter2")
    assert "hunter2" not in "".join(map(str, (error, error.url, error.reason, error.args)))
    assert error.url == "https://***@h/x?X-Amz-Signature=***"


def test_a_store_error_may_stop_the_run() -> None:
    assert not StoreError("a", "name too long").stops_run
    assert StoreError("a", "disk full", stops_run=True).stops_run
    assert LostLockError("a", "another run has taken over").stops_run


@pytest.mark.parametrize(
    ("error", "builtin"),
    [(ArchiveKeyError("a", "b"), ValueError), (RunningLoopError("Work"), RuntimeError)],
)
def test_callers_may_use_the_built_in_families(
    error: LakehouseError, builtin: type[Exception]
) -> None:
    assert isinstance(error, builtin)


def test_a_failed_collection_shows_ten_problems_and_holds_the_report() -> None:
    problems = tuple(
        ArchiveProblem(key=f"k{number}", verdict=Verdict.FAILED, reason="timed out")
        for number in range(12)
    )
    report = CollectionReport(
        workflow="archive_collection",
        status="partial",
        totals=totals(12, failed=12),
        success_rate=0.0,
        bytes=0,
        duration_seconds=1.0,
        problems=problems,
    )
    error = CollectionFailed(report)
    assert error.report is report
    lines = str(error).splitlines()
    assert lines[0] == "archive_collection ended partial:"
    assert lines[1:] == [f"  failed k{number}: timed out" for number in range(10)]
