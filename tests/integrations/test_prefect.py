"""The flows, run with a Prefect server, in a process with its packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integrations.orchestrated import CORRUPT, SYMBOLS, orchestrated, shared

from crypto_lakehouse.testing import ArchiveServer


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program found, by the name of the run."""

    def make(folder: Path) -> dict[str, Any]:
        with ArchiveServer() as server:
            return orchestrated("prefect_program.py", folder, server, ",".join(SYMBOLS))

    answers: dict[str, Any] = shared(tmp_path_factory, "prefect", make)
    return answers


def test_a_flow_returns_the_report_and_makes_a_table_of_it(found: dict[str, Any]) -> None:
    assert found["day"]["totals"]["verified"] == 1
    assert found["one"] == {
        "tasks": 0, "runs": 1, "artifacts": ["crypto-lakehouse-collect"], "problems": [],
    }  # fmt: skip


def test_nothing_is_added_for_an_archive_and_nothing_is_done_again(found: dict[str, Any]) -> None:
    many = found["many"]
    totals = many["report"]["totals"]
    assert (totals["verified"], totals["unchanged"]) == (len(SYMBOLS) - 1, 1)
    assert (many["tasks"], many["runs"]) == (0, 2)
    assert many["artifacts"] == ["crypto-lakehouse-collect"] * 2


def test_flows_of_one_output_wait_for_the_limit(found: dict[str, Any]) -> None:
    assert found["limited"] == ["complete", "complete"]


def test_tables_are_filled_checked_and_compacted(found: dict[str, Any]) -> None:
    assert found["ingest"]["totals"]["rows"] == 24 * 3
    assert found["validate"]["verdicts"] == {"good": 3}
    assert found["compact"]["tables"]["spot.klines"]["files_after"] >= 1


def test_a_quarantined_archive_fails_the_flow_and_its_key_is_in_a_table(
    found: dict[str, Any],
) -> None:
    kind, message = found["corrupt"]
    assert (kind, message) == ("FAILED", "collect: it ended failed; exit code 4")
    assert [each["key"] for (each,) in found["all"]["problems"]] == [CORRUPT]
    kind, message = found["faulty"]
    assert kind == "FAILED"
    assert "$.pipelines.orchestrated.steps.ingest.with.lake" in message
    assert found["all"]["tasks"] == 0


def test_a_flow_is_of_one_tenant(found: dict[str, Any]) -> None:
    verified, message = found["tenants"]
    assert verified == 1
    assert "$.tenant: required" in message  # without a name


def test_a_deployment_finds_a_flow_by_its_name(found: dict[str, Any]) -> None:
    assert found["fill"] == ["crypto-lakehouse-fill", ["config", "limit", "options", "tenant"]]


def test_sigterm_ends_a_flow_in_order(found: dict[str, Any]) -> None:
    assert found["stopped"] == "TerminationSignal"
    assert found["left"] == []
