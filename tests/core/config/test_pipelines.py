"""Pipelines of a configuration file: what is read, and that no fault is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.config.pipelines import (
    Pipeline,
    PipelineStep,
    Retry,
    Schedule,
    StepKind,
    faultless_parts,
    read_pipelines,
)
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.workflows import LakeConfig


def steps_of(declared: Any) -> tuple[PipelineStep, ...]:
    pipelines, problems = read_pipelines({"nightly": {"steps": declared}})
    assert problems == []
    return pipelines["nightly"].steps


def faults_of(declared: Any) -> list[str]:
    pipelines, problems = read_pipelines(declared)
    assert pipelines == {}
    return [str(each) for each in problems]


def test_a_step_runs_what_it_is_called_or_says() -> None:
    found = steps_of(
        {
            "collect": None,
            "bars": {"run": "ingest", "needs": "collect", "with": {"exact": True}},
            "expire": {"needs": ["bars", "collect", "bars"], "retry": {"times": 2, "wait": "5m"}},
            "validate": {"retry": {}},
            "fill": {"retry": {"wait": 7}},
        }
    )
    assert found == (
        PipelineStep("collect", StepKind.COLLECT),
        PipelineStep("bars", StepKind.INGEST, ("collect",), options={"exact": True}),
        PipelineStep("expire", StepKind.EXPIRE, ("bars", "collect"), Retry(2, 300.0)),
        PipelineStep("validate", StepKind.VALIDATE),
        PipelineStep("fill", StepKind.FILL, retry=Retry(1, 7.0)),
    )


def test_a_file_need_not_have_any() -> None:
    assert read_pipelines(None) == ({}, [])


@pytest.mark.parametrize(
    ("declared", "place", "reason"),
    [
        ([], "", "must be a mapping of names to pipelines, not `[]`"),
        ({"": {"steps": {"collect": {}}}}, ".", "the name of a pipeline must be text, not ``"),
        ({"n": []}, ".n", "must be a mapping, not `[]`"),
        ({"n": {}}, ".n.steps", "must be a mapping, not `None`"),
        ({"n": {"steps": {}}}, ".n.steps", "has no step"),
        (
            {"n": {"steps": {"collect": {}}, "step": 1}},
            ".n.step",
            "unknown key; allowed: steps, schedule",
        ),
    ],
)
def test_a_pipeline_without_steps_is_refused(declared: Any, place: str, reason: str) -> None:
    assert any(each.startswith(f"$.pipelines{place}: {reason}") for each in faults_of(declared))


@pytest.mark.parametrize(
    ("step", "place", "reason"),
    [
        ([], "", "must be a mapping, not `[]`"),
        ({"need": []}, ".need", "unknown key; allowed: run, needs, retry, with; did you mean"),
        ({"run": "colect"}, ".run", "unknown step `colect`; allowed: collect, fill, ingest,"),
        ({"run": 3}, ".run", "unknown step `3`; allowed: collect"),
        ({"needs": 3}, ".needs", "must be the name of a step, or a list of names, not `3`"),
        ({"needs": [3]}, ".needs", "must be the name of a step, or a list of names, not `[3]`"),
        ({"needs": "fil"}, ".needs", "there is no step `fil`; allowed: collect"),
        ({"with": 3}, ".with", "must be a mapping, not `3`"),
        ({"retry": 3}, ".retry", "must be a mapping, not `3`"),
        ({"retry": {"time": 3}}, ".retry.time", "unknown key; allowed: times, wait; did you mean"),
        ({"retry": {"times": 101}}, ".retry.times", "must be a whole number from 0 to 100"),
        ({"retry": {"times": True}}, ".retry.times", "must be a whole number from 0 to 100"),
        ({"retry": {"wait": "soon"}}, ".retry.wait", "must be seconds, or text such as `30s`"),
        ({"retry": {"wait": True}}, ".retry.wait", "must be seconds, or text such as `30s`"),
        ({"retry": {"wait": "25h"}}, ".retry.wait", "must be seconds, or text such as `30s`"),
        ({"retry": {"wait": float("nan")}}, ".retry.wait", "must be seconds, or text such as"),
        ({"retry": {"wait": "3 parsecs"}}, ".retry.wait", "`3 parsecs` has an unknown unit; "),
        ({"needs": "collect"}, "", "they wait for each other: collect -> collect"),
    ],
)
def test_a_step_with_a_fault_is_refused_by_its_place(step: Any, place: str, reason: str) -> None:
    (found,) = faults_of({"n": {"steps": {"collect": step}}})
    start = "$.pipelines.n.steps" + (f".collect{place}" if "wait for" not in reason else "")
    assert found.startswith(f"{start}: {reason}"), found


@pytest.mark.parametrize(
    ("keys", "place", "reason"),
    [
        ({"schedule": "0 3 * *"}, "schedule", "must be the five fields of a cron expression, as"),
        ({"schedule": 3}, "schedule", "must be the five fields of a cron expression, as"),
        ({"every": "1s"}, "every", "must be seconds, or text such as `5m` or `1h`, from a minute"),
        ({"every": "90.5s"}, "every", "must be whole seconds, not `90.5s`"),
        ({"every": "2d"}, "every", "must be seconds, or text such as `5m` or `1h`, from a minute"),
        ({"every": "1h", "schedule": "0 3 * * *"}, "every", "beside `schedule`; name one of"),
        ({"every": "1h", "zone": "UTC"}, "zone", "has no effect without `schedule`; remove it"),
        ({"schedule": "0 3 * * *", "zone": "Europe"}, "zone", "must be the name of a time zone"),
        ({"schedule": "0 3 * * *", "zone": "../UTC"}, "zone", "must be the name of a time zone"),
        ({"schedule": "0 3 * * *", "zone": "Mars"}, "zone", "must be the name of a time zone"),
    ],
)
def test_a_schedule_with_a_fault_is_refused(keys: Any, place: str, reason: str) -> None:
    (found,) = faults_of({"n": {"steps": {"fill": {}}, **keys}})
    assert found.startswith(f"$.pipelines.n.{place}: {reason}"), found


def test_a_pipeline_may_have_a_schedule() -> None:
    steps: dict[str, Any] = {"steps": {"fill": {}}}
    pipelines, problems = read_pipelines(
        {
            "none": steps,
            "often": {**steps, "every": "5m"},
            "nightly": {**steps, "schedule": "15 3 * * *"},
            "local": {**steps, "schedule": "15 3 * * *", "zone": "Europe/Berlin"},
        }
    )
    assert problems == []
    assert [each.schedule for each in pipelines.values()] == [
        None,
        Schedule(every_s=300),
        Schedule("15 3 * * *"),
        Schedule("15 3 * * *", zone="Europe/Berlin"),
    ]


def test_a_name_that_is_no_kind_needs_one() -> None:
    (found,) = faults_of({"n": {"steps": {"night": {}}}})
    assert found.startswith("$.pipelines.n.steps.night: unknown step `night`; allowed: collect, ")
    assert found.endswith("; if this is only its name, say what it runs with `run`")
    (found,) = faults_of({"n": {"steps": {"ingst": {}}}})
    assert found.endswith("did you mean `ingest`?")
    assert "must be text, not `3`" in faults_of({"n": {"steps": {3: {"run": "fill"}}}})[0]


def test_all_faults_of_all_pipelines_are_found_and_the_others_are_read() -> None:
    circle = {"a": {"run": "fill", "needs": "b"}, "b": {"run": "fill", "needs": "a"}}
    pipelines, problems = read_pipelines(
        {
            "good": {"steps": {"fill": {}}},
            "bad": {"steps": {"fil": {}, "collect": {"needs": 3, "retry": {"times": -1}}}},
            "circle": {"steps": circle},
        }
    )
    assert [*pipelines] == ["good"]
    assert [each.path for each in problems] == [
        "$.pipelines.bad.steps.fil",
        "$.pipelines.bad.steps.collect.needs",
        "$.pipelines.bad.steps.collect.retry.times",
        "$.pipelines.circle.steps",
    ]


def test_the_parts_without_a_fault_can_be_looked_at_further() -> None:
    steps = {"fil": {}, "fill": {"needs": ["none"]}, "ingest": {}}
    one, two = faultless_parts(
        {
            "one": {"steps": steps, "schedule": "0 0 31 2 *"},
            "two": {"steps": {"fill": {}}, "schedule": "0 0 31 2 *", "zone": "Nowhere"},
        }
    )
    assert [step.name for step in one.steps] == ["ingest"]
    assert one.schedule == Schedule("0 0 31 2 *")
    assert (len(two.steps), two.schedule) == (1, None)
    assert faultless_parts(5) == []


def test_the_other_commands_ignore_them_but_not_in_a_profile() -> None:
    values = {"output_directory": "out", "pipelines": {"n": {"steps": {"fill": {}}}}}
    WorkflowConfig(values, environ={}, only="failed")
    LakeConfig(values, environ={})
    with pytest.raises(ConfigurationError, match=r"environments\.production\.pipelines"):
        WorkflowConfig(
            {"output_directory": "out", "environments": {"production": {"pipelines": {}}}},
            environ={},
            only="failed",
        )


_KEYS = st.sampled_from(["steps", "run", "needs", "retry", "times", "wait", "with", "fill"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=20,
)


@given(_JSON, st.dictionaries(_KEYS | st.text(max_size=3), _JSON, max_size=3))
@settings(max_examples=examples(100))
def test_whatever_a_file_has_is_read_or_refused_with_a_reason(value: Any, step: Any) -> None:
    for given_value in (value, {"n": value}, {"n": {"steps": {"fill": step}}}):
        pipelines, problems = read_pipelines(given_value)
        assert all(isinstance(each, Pipeline) and each.steps for each in pipelines.values())
        assert all(each.path.startswith("$.pipelines") and each.message for each in problems)
        names = given_value if isinstance(given_value, dict) else {}
        assert problems or len(pipelines) == len(names)
