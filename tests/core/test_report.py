"""What a run gives back: the share that is good, how to end, and what to raise."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import KEY, totals

from crypto_lakehouse.core.report import (
    ArchiveProblem,
    CollectionFailed,
    CollectionReport,
    success_rate,
)
from crypto_lakehouse.core.verdicts import SUCCESSES, UNREMARKABLE, Verdict
from crypto_lakehouse.workflows.run_outcome import RunOutcome


def report(planned: int = 0, stop_code: int | None = None, **verdicts: int) -> CollectionReport:
    counted = totals(planned, **verdicts)
    return CollectionReport(
        workflow="archive_collection",
        status="complete",
        totals=counted,
        success_rate=success_rate(counted),
        bytes=7,
        duration_seconds=1.23456,
        problems=(ArchiveProblem(key=KEY, verdict=Verdict.CORRUPT, reason="no zip"),),
        stop_code=stop_code,
    )


def test_a_run_that_failed_before_it_had_a_plan_has_no_success() -> None:
    outcome = RunOutcome("archive_collection", "1")
    assert outcome.report((), "no such symbol").success_rate == 0.0
    assert outcome.report(("`data/` cannot be listed",)).success_rate == 0.0
    assert outcome.report(()).success_rate == 100.0
    assert success_rate(totals(1, not_published=1), has_failed=True) == 100.0


def test_the_verdicts_are_those_of_the_contract() -> None:
    assert [str(verdict) for verdict in Verdict] == [
        "verified",
        "unchanged",
        "not_published",
        "missing",
        "sidecar_missing",
        "upstream_mismatch",
        "corrupt",
        "failed",
    ]
    assert {Verdict.VERIFIED, Verdict.UNCHANGED} == SUCCESSES
    assert {Verdict.NOT_PUBLISHED} == UNREMARKABLE - SUCCESSES


@pytest.mark.parametrize(
    ("planned", "verdicts", "rate"),
    [
        (0, {}, 100.0),
        (1, {"verified": 1}, 100.0),
        (1, {"unchanged": 1}, 100.0),
        (4, {"verified": 1, "unchanged": 1, "failed": 2}, 50.0),
        (1, {"not_published": 1}, 100.0),
        (3, {"not_published": 2, "verified": 1}, 100.0),
        (3, {"not_published": 1, "verified": 1, "missing": 1}, 50.0),
        (1, {"missing": 1}, 0.0),
        (1, {"sidecar_missing": 1}, 0.0),
        (1, {"upstream_mismatch": 1}, 0.0),
        (1, {"corrupt": 1}, 0.0),
        (1, {"failed": 1}, 0.0),
        (8, {"verified": 2}, 25.0),
    ],
)
def test_success_is_the_share_of_what_is_published(
    planned: int, verdicts: dict[str, int], rate: float
) -> None:
    assert success_rate(totals(planned, **verdicts)) == rate


@given(st.fixed_dictionaries({verdict: st.integers(0, 10**9) for verdict in Verdict}))
def test_success_is_a_percentage_that_is_full_only_where_all_is_good(
    counts: dict[Verdict, int],
) -> None:
    planned = sum(counts.values())
    rate = success_rate({"planned": planned} | counts)
    assert 0.0 <= rate <= 100.0
    bad = sum(count for verdict, count in counts.items() if verdict not in UNREMARKABLE)
    assert (rate == 100.0) == (bad == 0)


@pytest.mark.parametrize(
    ("verdicts", "code", "strict"),
    [
        ({"verified": 1}, 0, 0),
        ({"unchanged": 1}, 0, 0),
        ({"not_published": 1}, 0, 3),
        ({"sidecar_missing": 1}, 0, 3),
        ({"upstream_mismatch": 1}, 0, 3),
        ({"missing": 1}, 3, 3),
        ({"failed": 1}, 3, 3),
        ({"corrupt": 1}, 4, 4),
        ({"corrupt": 1, "failed": 1, "missing": 1}, 4, 4),
        ({"stop_code": 130, "corrupt": 1}, 130, 130),
        ({"stop_code": 5}, 5, 5),
        ({}, 0, 0),
    ],
)
def test_the_exit_code_names_the_worst_verdict(
    verdicts: dict[str, int], code: int, strict: int
) -> None:
    planned = sum(verdicts.values()) - verdicts.get("stop_code", 0)
    ended = report(planned, **verdicts)
    assert (ended.exit_code, ended.strict_exit_code) == (code, strict)
    assert ended.ok == (code == 0)


def test_archives_without_a_verdict_are_not_strictly_good() -> None:
    assert report(2, verified=1).exit_code == 0
    assert report(2, verified=1).strict_exit_code == 3


def test_a_good_run_raises_nothing() -> None:
    report(1, verified=1).raise_for_failures()


@pytest.mark.parametrize(
    ("bad", "code"),
    [({"failed": 1}, 3), ({"corrupt": 1}, 4), ({"stop_code": 5}, 5), ({"stop_code": 130}, 130)],
)
def test_a_bad_run_raises_with_its_report_and_exit_code(bad: dict[str, int], code: int) -> None:
    ended = report(1, **bad)
    with pytest.raises(CollectionFailed, match=KEY) as failed:
        ended.raise_for_failures()
    assert failed.value.report is ended
    assert failed.value.exit_code == code
    assert copy.copy(failed.value).exit_code == code


def test_the_mapping_is_what_scripts_read() -> None:
    mapping: dict[str, Any] = report(1, corrupt=1).to_mapping()
    assert json.loads(json.dumps(mapping)) == {
        "workflow": "archive_collection",
        "status": "complete",
        "totals": {"planned": 1, **dict.fromkeys(map(str, Verdict), 0), "corrupt": 1},
        "acknowledged": 0,
        "success_rate": 0.0,
        "bytes": 7,
        "duration_seconds": 1.235,
        "problems": [{"key": KEY, "verdict": "corrupt", "reason": "no zip"}],
    }
    assert all(type(name) is str for name in mapping["totals"])


def test_a_problem_reads_as_a_line() -> None:
    problem = ArchiveProblem(key=KEY, verdict=Verdict.CORRUPT, reason="no zip")
    assert str(problem) == f"corrupt {KEY}: no zip"


def test_the_results_are_what_the_command_line_prints() -> None:
    ended = report(4, verified=1, failed=3)
    assert ended.results == ended.to_mapping()
    assert ended.results["success_rate"] == 25.0
    assert ended.report is ended


def test_the_counts_can_be_read() -> None:
    assert repr({"planned": 2, Verdict.VERIFIED: 2}) == "{'planned': 2, 'verified': 2}"
