"""Pipelines of a configuration file: steps, what each needs, and when it is tried again.

pipelines:
  nightly:
    schedule: 15 3 * * *
    steps:
      collect: {retry: {times: 2, wait: 5m}}
      fill: {needs: collect}
      ingest: {needs: [collect, fill]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import define, field, frozen

from crypto_lakehouse.core.config.quantities import parse_quantity
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import allowed_values, nearest, shown

__all__ = [
    "PIPELINES",
    "Pipeline",
    "PipelineStep",
    "Retry",
    "Schedule",
    "StepKind",
    "faultless_parts",
    "read_pipelines",
]

#: The key of a file that contains its pipelines.
PIPELINES = "pipelines"

#: How often a step may be tried again.
_MOST_TIMES = 100

#: The longest pause of a step, and the longest and shortest time from one run to the next.
_DAY_S, _SHORTEST_EVERY_S = 86_400.0, 60.0
_WAIT = "seconds, or text such as `30s` or `5m`, up to a day"
_EVERY = "seconds, or text such as `5m` or `1h`, from a minute to a day"

_CRON_FIELDS = 5

_PIPELINE_KEYS = ("steps", "schedule", "every", "zone")
_STEP_KEYS = ("run", "needs", "retry", "with")
_RETRY_KEYS = ("times", "wait")


class StepKind(StrEnum):
    """What a step runs: a command of this name."""

    COLLECT = "collect"
    FILL = "fill"
    INGEST = "ingest"
    VALIDATE = "validate"
    VERIFY = "verify"
    COMPACT = "compact"
    EXPIRE = "expire"


@frozen
class Retry:
    """When a step that failed is run again.

    Attributes:
        times: How often, at most.
        wait_s: How long to wait before, in seconds.
    """

    times: int = 0
    wait_s: float = 60.0


@frozen
class PipelineStep:
    """A step as the file declares it.

    Attributes:
        name: Its name in the pipeline.
        kind: What it runs.
        needs: The steps that must have ended well before.
        retry: When it is run again.
        options: Keys of the configuration that have other values in this step, and options of the
            command that are no keys.
    """

    name: str
    kind: StepKind
    needs: tuple[str, ...] = ()
    retry: Retry = Retry()
    options: Mapping[str, Any] = field(factory=dict)


@frozen
class Schedule:
    """When a pipeline runs by itself.

    Attributes:
        cron: A cron expression of five fields; empty if it runs every so many seconds.
        every_s: The seconds from one run to the next, counted from 1970-01-01T00:00:00Z; 0 if
            there is a cron expression.
        zone: The time zone of the cron expression, by its IANA name.
    """

    cron: str = ""
    every_s: int = 0
    zone: str = "UTC"


@frozen
class Pipeline:
    """A pipeline as the file declares it.

    Attributes:
        name: Its name.
        steps: In the order of the file.
        schedule: When it runs by itself; None if it does not.
    """

    name: str
    steps: tuple[PipelineStep, ...]
    schedule: Schedule | None = None


def read_pipelines(given: object) -> tuple[dict[str, Pipeline], list[Problem]]:
    """Read the value of `pipelines`; all faults are found.

    Args:
        given: The value; None if the file has no pipelines.

    Returns:
        The pipelines without a fault, by name, and the faults of the others.
    """
    if given is None:
        return {}, []
    if not isinstance(given, Mapping):
        return {}, [_wrong_type(f"$.{PIPELINES}", "a mapping of names to pipelines", given)]
    pipelines, problems = {}, list[Problem]()
    for name, declared in given.items():
        reader = _Reader(f"$.{PIPELINES}.{shown(name)}")
        pipeline = reader.pipeline(name, declared)
        problems += reader.problems
        if not reader.problems:
            pipelines[str(name)] = pipeline
    return pipelines, problems


def faultless_parts(given: object) -> list[Pipeline]:
    """Return each pipeline with the schedule and the steps that have no fault of their own.

    For a file with faults: what the steps say can have further ones, and all are named at once.

    Args:
        given: As of `read_pipelines`.
    """
    parts = []
    for name, declared in given.items() if isinstance(given, Mapping) else ():
        reader = _Reader(f"$.{PIPELINES}.{shown(name)}")
        parts.append(reader.faultless_part(reader.pipeline(name, declared)))
    return parts


def _wrong_type(place: str, wanted: str, given: object) -> Problem:
    return Problem(place, f"must be {wanted}, not `{shown(given)}`")


@define
class _Reader:
    """Reads one pipeline, and collects its faults."""

    place: str
    problems: list[Problem] = field(factory=list)

    def faultless_part(self, pipeline: Pipeline) -> Pipeline:
        """Return what has no fault of a pipeline that was read."""
        wrong = [problem.path for problem in self.problems]

        def is_right(place: str) -> bool:
            return not any(path == place or path.startswith(f"{place}.") for path in wrong)

        place = f"{self.place}.steps"
        steps = [each for each in pipeline.steps if is_right(f"{place}.{shown(each.name)}")]
        times = ("schedule", "every", "zone")
        has_times = all(is_right(f"{self.place}.{key}") for key in times)
        return Pipeline(pipeline.name, tuple(steps), pipeline.schedule if has_times else None)

    def pipeline(self, name: object, declared: object) -> Pipeline:
        if not isinstance(name, str) or not name.strip():
            self._fault(self.place, f"the name of a pipeline must be text, not `{shown(name)}`")
        values = self._mapping(self.place, declared, _PIPELINE_KEYS)
        place = f"{self.place}.steps"
        steps = self._mapping(place, values.get("steps"), None)
        if "steps" in values and values["steps"] == {}:
            self._fault(place, "has no step")
        found = tuple(self._step(f"{place}.{shown(each)}", each, steps[each]) for each in steps)
        self._check_needs(place, found)
        return Pipeline(str(name), found, self._schedule(values))

    def _schedule(self, values: Mapping[Any, Any]) -> Schedule | None:
        cron, every, zone = (values.get(key) for key in ("schedule", "every", "zone"))
        if zone is not None:
            self._check_zone(zone, is_used=cron is not None)
        if cron is not None and every is not None:
            self._fault(f"{self.place}.every", "beside `schedule`; name one of the two")
        if cron is not None:
            if isinstance(cron, str) and len(cron.split()) == _CRON_FIELDS:
                return Schedule(cron, zone=str(zone or "UTC"))
            wanted = "the five fields of a cron expression, as `15 3 * * *`"
            self.problems.append(_wrong_type(f"{self.place}.schedule", wanted, cron))
        if every is None:
            return None
        place = f"{self.place}.every"
        seconds = self._seconds(place, every, _SHORTEST_EVERY_S, _EVERY)
        if seconds != int(seconds):
            self._fault(place, f"must be whole seconds, not `{shown(every)}`")
        return Schedule(every_s=int(seconds))

    def _check_zone(self, zone: object, *, is_used: bool) -> None:
        place = f"{self.place}.zone"
        if not is_used:
            self._fault(place, "has no effect without `schedule`; remove it")
        try:
            ZoneInfo(str(zone))
        except (ValueError, OSError, ZoneInfoNotFoundError):  # OSError: a folder of the database
            wanted = "the name of a time zone, as UTC or Europe/Berlin"
            self.problems.append(_wrong_type(place, wanted, zone))

    def _step(self, place: str, name: object, declared: object) -> PipelineStep:
        if not isinstance(name, str) or not name.strip():
            self._fault(place, f"the name of a step must be text, not `{shown(name)}`")
        values = self._mapping(place, {} if declared is None else declared, _STEP_KEYS)
        options = self._mapping(f"{place}.with", values.get("with", {}), None)
        return PipelineStep(
            name=str(name),
            kind=self._kind(place, values.get("run"), name),
            needs=self._needs(f"{place}.needs", values.get("needs", ())),
            retry=self._retry(f"{place}.retry", values.get("retry", {})),
            options={str(key): value for key, value in options.items()},
        )

    def _kind(self, place: str, given: object, name: object) -> StepKind:
        kind, where = (name, place) if given is None else (given, f"{place}.run")
        if isinstance(kind, str) and kind in set(StepKind):
            return StepKind(kind)
        hint = allowed_values(kind, [*StepKind])
        if given is None and nearest(kind, [*StepKind]) is None:
            hint += "; if this is only its name, say what it runs with `run`"
        self._fault(where, f"unknown step `{shown(kind)}`; {hint}")
        return StepKind.COLLECT

    def _needs(self, place: str, given: object) -> tuple[str, ...]:
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, Sequence) or not all(isinstance(each, str) for each in names):
            self.problems.append(
                _wrong_type(place, "the name of a step, or a list of names", given)
            )
            return ()
        return tuple(dict.fromkeys(names))

    def _retry(self, place: str, given: object) -> Retry:
        values = self._mapping(place, given, _RETRY_KEYS)
        if not values:
            return Retry()
        return Retry(
            self._times(f"{place}.times", values.get("times", 1)),
            self._seconds(f"{place}.wait", values.get("wait", Retry().wait_s), 0.0, _WAIT),
        )

    def _times(self, place: str, given: object) -> int:
        if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= _MOST_TIMES:
            return given
        self.problems.append(_wrong_type(place, f"a whole number from 0 to {_MOST_TIMES}", given))
        return 0

    def _seconds(self, place: str, given: object, least: float, wanted: str) -> float:
        seconds: object = given
        try:
            if isinstance(given, str):
                seconds = parse_quantity(given, "seconds")
        except ValueError as error:
            self._fault(place, str(error))
            return least
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if is_number and least <= float(str(seconds)) <= _DAY_S:
            return float(str(seconds))
        self.problems.append(_wrong_type(place, wanted, given))
        return least

    def _check_needs(self, place: str, steps: Sequence[PipelineStep]) -> None:
        names = [step.name for step in steps]
        for step in steps:
            for need in step.needs:
                if need not in names:
                    hint = allowed_values(need, names)
                    text = f"there is no step `{shown(need)}`; {hint}"
                    self._fault(f"{place}.{shown(step.name)}.needs", text)
        try:
            TopologicalSorter({step.name: step.needs for step in steps}).prepare()
        except CycleError as error:
            circle = " -> ".join(shown(each) for each in error.args[1])
            self._fault(place, f"they wait for each other: {circle}")

    def _mapping(self, place: str, given: object, keys: Sequence[str] | None) -> Mapping[Any, Any]:
        """Return a mapping, an empty one if it is none; its keys must be among those known."""
        if not isinstance(given, Mapping):
            self.problems.append(_wrong_type(place, "a mapping", given))
            return {}
        for key in given:
            if keys is not None and key not in keys:
                hint = allowed_values(key, keys)
                self._fault(f"{place}.{shown(key)}", f"unknown key; {hint}")
        return given

    def _fault(self, place: str, message: str) -> None:
        self.problems.append(Problem(place, message))
