"""Pipelines of a configuration file against a real server: order, attempts, locks, faults."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.workflows.conftest import KEY, Collection
from tests.workflows.lakes import row_count

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.workflows import LakeConfig, ValidationWorkflow
from crypto_lakehouse.workflows.composition import CompositionReport
from crypto_lakehouse.workflows.pipelines.declared import load_pipelines
from crypto_lakehouse.workflows.pipelines.running import PipelineWorkflow, run_pipeline
from crypto_lakehouse.workflows.wiring import needed_packages


@pytest.fixture
def declared(with_pipelines: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Returns the mapping of a file with one pipeline of these steps."""
    return lambda **steps: with_pipelines(only={"steps": steps})


def states(report: CompositionReport) -> dict[str, str]:
    return {step.name: step.state for step in report.steps}


async def workflow_of(values: dict[str, Any], **given: Any) -> PipelineWorkflow:
    file = await load_pipelines(values)
    return PipelineWorkflow(await file.ready(file.named(None)), **given)


async def test_each_step_runs_as_its_command_does(
    collection: Collection, declared: Callable[..., dict[str, Any]]
) -> None:
    values = declared(
        collect=None,
        ingest={"needs": "collect"},
        validate={"needs": "collect"},
        compact={"needs": "ingest", "with": {"tables": "spot.klines"}},
        expire={"needs": "compact", "with": {"older_than": "0d"}},
        check={"run": "verify", "needs": "collect", "with": {"sample": "100%"}},
    )
    metrics = collection.root.parent / "lake.prom"
    report = await run_pipeline({**values, "metrics_textfile": str(metrics), "serve": 0})
    assert report.exit_code == 0, report
    counted = metrics.read_text()  # of all steps, in one file
    for name in (
        "archives_total",
        "received_bytes_total",
        "lake_rows_total",
        "checked_files_total",
    ):
        assert f"\ncrypto_lakehouse_{name}" in counted
    assert (report.status, {*states(report).values()}) == ("complete", {"done"})
    results = {step.name: step.results for step in report.steps}
    assert results["collect"]["totals"]["verified"] == 1
    compacted = {"files_before": 1, "files_after": 1, "rows_rewritten": 0}
    assert results["compact"]["tables"] == {"spot.klines": compacted}
    assert results["expire"]["tables"]["spot.klines"] == {"snapshots": 0}
    assert results["check"]["totals"]["ok"] == 1
    assert row_count(collection.root, "spot.klines") == results["ingest"]["totals"]["rows"]


async def test_a_validation_has_the_exit_code_of_its_command(
    collection: Collection, declared: Callable[..., dict[str, Any]]
) -> None:
    path = collection.root / KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no zip")
    report = await run_pipeline(declared(validate=None))
    assert (report.exit_code, report.status) == (4, "partial")
    workflow = await workflow_of(declared(validate=None))
    workflow.stop(143)
    assert (await workflow.run()).report.exit_code == 143
    stopped = ValidationWorkflow(LakeConfig(output_directory=str(collection.root)))
    stopped.stop(143)
    assert (await stopped.run()).report.exit_code == 143


async def test_a_step_that_found_its_lock_held_runs_again_after_the_pause(
    collection: Collection, declared: Callable[..., dict[str, Any]]
) -> None:
    state = collection.root / ".lakehouse"
    state.mkdir(parents=True)
    held, said, pauses = ExitStack(), list[str](), list[float]()
    held.enter_context(output_lock(state / "lock"))

    async def release(seconds: float) -> None:
        pauses.append(seconds)
        held.close()

    values = declared(collect={"retry": {"times": 3, "wait": "1m"}})
    workflow = await workflow_of(
        values, sleep=release, say=lambda step, text: said.append(f"{step} {text}")
    )
    report = (await workflow.run()).report
    assert (states(report), report.exit_code, pauses) == ({"collect": "done"}, 0, [60.0])
    assert len(said) == 1
    assert said[0].startswith("collect failed: ")
    assert said[0].endswith("it runs again in 60 s")


async def test_a_collection_that_got_nothing_runs_again_and_its_last_report_stands(
    collection: Collection, declared: Callable[..., dict[str, Any]]
) -> None:
    port = collection.config["source_url"]
    said: list[str] = []

    async def no_pause(_seconds: float) -> None:
        pass

    values = declared(collect={"retry": {"times": 2}}) | {"source_url": "http://127.0.0.1:9"}
    assert port != values["source_url"]
    workflow = await workflow_of(values, sleep=no_pause, say=lambda _step, text: said.append(text))
    report = (await workflow.run()).report
    assert [step.results["status"] for step in report.steps] == ["failed"]
    assert report.exit_code == 3
    assert said == ["failed: its report has the reasons; it runs again in 60 s"] * 2


@pytest.mark.parametrize("times", [0, 5])
async def test_what_time_does_not_cure_is_tried_once(
    declared: Callable[..., dict[str, Any]], times: int
) -> None:
    tried: list[float] = []

    async def pause(seconds: float) -> None:
        tried.append(seconds)

    values = declared(compact={"retry": {"times": times}}, expire={"needs": "compact"})
    report = (await (await workflow_of(values, sleep=pause)).run()).report
    assert states(report) == {"compact": "failed", "expire": "skipped"}
    assert (report.exit_code, tried) == (2, [])


async def test_a_stop_in_a_pause_ends_the_pipeline(
    collection: Collection, declared: Callable[..., dict[str, Any]]
) -> None:
    state = collection.root / ".lakehouse"
    state.mkdir(parents=True)
    values = declared(collect={"retry": {"times": 9, "wait": "1d"}}, ingest={"needs": "collect"})

    async def stop(_seconds: float) -> None:
        workflow.stop(143)
        await anyio.sleep_forever()

    with output_lock(state / "lock"):
        workflow = await workflow_of(values, sleep=stop)
        report = (await workflow.run()).report
    assert states(report) == {"collect": "failed", "ingest": "interrupted"}
    assert collection.requested() == []


async def test_a_stop_reaches_the_step_that_runs(
    collection: Collection, declared: Callable[..., dict[str, Any]]
) -> None:
    def tell(name: str, report: object) -> None:
        if name == "check" and report is None:
            workflow.stop(130)

    values = declared(
        collect={}, check={"run": "verify", "needs": "collect"}, compact={"needs": "check"}
    )
    workflow = await workflow_of(values, tell=tell)
    report = (await workflow.run()).report
    assert states(report) == {"collect": "done", "check": "interrupted", "compact": "interrupted"}
    assert (report.status, report.exit_code) == ("interrupted", 130)


async def test_steps_with_one_lock_run_in_turn(
    collection: Collection, declared: Callable[..., dict[str, Any]]
) -> None:
    begun = 0
    most = 0

    class Watch:
        name = "watch"
        required = False

        async def handle(self, _events: Any) -> None:
            pass

        async def flush(self) -> None:
            pass

        async def close(self) -> None:
            nonlocal begun
            begun -= 1

    def sinks(_step: str) -> list[Any]:
        nonlocal begun, most
        begun += 1
        most = max(most, begun)
        return [Watch()]

    hours = {f"of_{each}": {"run": "collect", "with": {"intervals": [each]}} for each in
             ("1h", "4h", "1d")}  # fmt: skip
    report = await run_pipeline(declared(**hours), sinks=sinks)
    assert {*states(report).values()} == {"done"}, report
    assert most == 1
    assert len({key.split("/")[5] for key in collection.requested()}) == 3


async def test_all_faults_of_all_steps_are_found_before_anything_begins(
    collection: Collection, declared: Callable[..., dict[str, Any]]
) -> None:
    values = declared(
        collect={"with": {"max_retries": 99, "nonsense": 1}},
        ingest={"with": {"exact": "maybe", "only_recordings": 3}},
        compact={"with": {"tables": 7}},
        expire={"with": {"older_than": -3, "tables": [7]}},
        check={"run": "verify", "with": {"sample": "300%"}},
        fill={"with": {"retry_failed": "no"}},
    )
    with pytest.raises(ConfigurationError) as caught:
        await run_pipeline(values | {"allow_http": 7})
    place = "$.pipelines.only.steps"
    assert sorted(each.path for each in caught.value.problems) == sorted(
        [
            "$.allow_http",
            f"{place}.collect.with.max_retries",
            f"{place}.collect.with.nonsense",
            f"{place}.ingest.with.exact",
            f"{place}.ingest.with.only_recordings",
            f"{place}.compact.with.tables",
            f"{place}.expire.with.older_than",
            f"{place}.expire.with.tables",
            f"{place}.check.with.sample",
            f"{place}.fill.with.retry_failed",
        ]
    )
    assert not collection.root.exists()
    assert collection.requested() == []


async def test_an_extra_that_a_step_needs_is_missed_before_anything_begins(
    collection: Collection,
    declared: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(needed_packages, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError) as caught:
        await run_pipeline(declared(collect={}, fill={}, ingest={"needs": "collect"}))
    text = str(caught.value)
    assert "steps.fill: segments need zstandard; install them with" in text
    assert "steps.ingest: tables need duckdb, polars, " in text
    assert collection.requested() == []


async def test_a_pipeline_is_chosen_by_its_name(tmp_path: Path) -> None:
    two: dict[str, Any] = {"steps": {"collect": {}}}
    file = await load_pipelines({"pipelines": {"nightly": two, "weekly": two}})
    assert file.named("weekly").name == "weekly"
    for name, reason in [
        (None, "has several pipelines; name one of nightly, weekly"),
        ("night", "there is no pipeline `night`; allowed: nightly, weekly; did you mean"),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            file.named(name)
        assert reason in str(caught.value)
    (tmp_path / "none.yaml").write_text("output_directory: out\n")
    with pytest.raises(ConfigurationError, match=r"there is no pipeline; declare one, as"):
        await load_pipelines(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match=r"has no step"):
        await load_pipelines({"pipelines": {"nightly": {"steps": {}}}})
