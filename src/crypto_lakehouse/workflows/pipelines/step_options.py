"""Options of a step: keys of the configuration, and options of the command that are no keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from crypto_lakehouse.collection.sampling import Sample
from crypto_lakehouse.core.config.pipelines import PipelineStep, StepKind
from crypto_lakehouse.core.config.quantities import parse_quantity
from crypto_lakehouse.core.config.tenants import TENANT
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import shown

__all__ = ["StepOptions", "read_options"]


@frozen
class StepOptions:
    """The options of a step.

    Attributes:
        keys: Keys of the configuration; they are not checked yet.
        own: What the command alone has, read.
    """

    keys: Mapping[str, Any]
    own: Mapping[str, Any]


def read_options(step: PipelineStep, place: str) -> tuple[StepOptions, list[Problem]]:
    """Read the options of a step.

    Args:
        step: The step.
        place: The path of its options, for faults.
    """
    readers = _READERS.get(step.kind, {})
    own, problems = {}, list[Problem]()
    for name, value in step.options.items():
        if name in readers:
            try:
                own[name] = readers[name](value)
            except (TypeError, ValueError) as error:
                problems.append(Problem(f"{place}.{name}", str(error)))
    if TENANT in step.options:  # all steps of a pipeline have one log and the same metrics
        reason = "a step has no tenant of its own; name one for the pipeline, with `--tenant`"
        problems.append(Problem(f"{place}.{TENANT}", reason))
    keys = {name: value for name, value in step.options.items() if name not in readers}
    return StepOptions(keys, own), problems


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"must be true or false, not `{shown(value)}`")
    return value


def _tables(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
        raise TypeError(f"must be a list of tables, as spot.klines, not `{shown(value)}`")
    return tuple(names)


def _days(value: object) -> float:
    days = parse_quantity(value, "days") if isinstance(value, str) else value
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 <= days <= 36_500:
        raise ValueError(f"must be days, or text such as `7d` or `2w`, not `{shown(value)}`")
    return days


def _sample(value: object) -> str:
    text = str(value)
    Sample.parse(text, "0")
    return text


_READERS: Mapping[StepKind, Mapping[str, Callable[[object], Any]]] = {
    StepKind.FILL: {"retry_failed": _switch},
    StepKind.VERIFY: {"sample": _sample},
    StepKind.INGEST: {"only_recordings": _switch},
    StepKind.COMPACT: {"tables": _tables},
    StepKind.EXPIRE: {"tables": _tables, "older_than": _days},
}
