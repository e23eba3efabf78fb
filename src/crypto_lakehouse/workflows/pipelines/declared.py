"""Read the pipelines of a configuration file, and check all of a pipeline before it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

from attrs import evolve, frozen

from crypto_lakehouse.core.config.origins import OVERRIDE, FileValues
from crypto_lakehouse.core.config.pipelines import (
    PIPELINES,
    Pipeline,
    PipelineStep,
    faultless_parts,
    read_pipelines,
)
from crypto_lakehouse.core.config.tenants import TENANT
from crypto_lakehouse.core.errors import ConfigurationError, ExtraMissing, Problem
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.workflows.pipelines.step_options import read_options
from crypto_lakehouse.workflows.pipelines.step_workflows import ReadyStep, ready_step
from crypto_lakehouse.workflows.wiring.load_config import read_config

__all__ = ["PipelineFile", "ReadyPipeline", "load_pipelines"]

#: What a pipeline may be given as: a mapping of the keys of a file, or the path of one.
AnyFile = Mapping[str, Any] | str | PathLike[str]


@frozen
class ReadyPipeline:
    """A pipeline whose steps can begin.

    Attributes:
        declared: As the file has it.
        steps: What each step runs, by its name.
    """

    declared: Pipeline
    steps: Mapping[str, ReadyStep]

    @property
    def configs(self) -> list[tuple[str, Any]]:
        """The names of the pipeline and the step, and the configuration, of each step."""
        return [(f"{self.declared.name}.{name}", step.config) for name, step in self.steps.items()]


@frozen
class PipelineFile:
    """The pipelines of a file.

    Attributes:
        values: The keys of the configuration, which all steps share.
        pipelines: The pipelines by name, in the order of the file.
        tenant: The tenant of all steps that do not name one; None for that of the file.
    """

    values: FileValues
    pipelines: Mapping[str, Pipeline]
    tenant: str | None = None

    def named(self, name: str | None) -> Pipeline:
        """Return a pipeline; the only one if no name is given.

        Raises:
            ConfigurationError: There is none of this name, or there are several and no name.
        """
        names = [*self.pipelines]
        if name is None and len(names) == 1:
            name = names[0]
        if name is None:
            raise _fault(f"has several pipelines; name one of {', '.join(names)}")
        if name not in self.pipelines:
            raise _fault(f"there is no pipeline `{shown(name)}`; {allowed_values(name, names)}")
        return self.pipelines[name]

    async def ready(self, pipeline: Pipeline) -> ReadyPipeline:
        """Read the configurations of all steps; nothing is written, and nothing is asked.

        Raises:
            ConfigurationError: With every fault of every step.
        """
        steps, problems = dict[str, ReadyStep](), list[Problem]()
        for step in pipeline.steps:
            place = f"$.{PIPELINES}.{pipeline.name}.steps.{step.name}"
            found, faults = await self._ready_step(step, place)
            problems += faults
            if found is not None:
                steps[step.name] = found
        if problems:
            raise ConfigurationError(dict.fromkeys(problems))
        return ReadyPipeline(pipeline, steps)

    async def _ready_step(
        self, step: PipelineStep, place: str
    ) -> tuple[ReadyStep | None, list[Problem]]:
        options, problems = read_options(step, f"{place}.with")
        given = options
        if self.tenant is not None:
            given = evolve(options, keys={TENANT: self.tenant, **options.keys})
        try:
            return await ready_step(step.kind, self.values, given), problems
        except ConfigurationError as error:
            found = [_placed(each, options.keys, place) for each in error.problems]
            return None, [*problems, *found]
        except ExtraMissing as error:
            return None, [*problems, Problem(place, str(error))]


async def load_pipelines(
    source: AnyFile,
    tenant: str | None = None,
    *,
    faults: Callable[[Sequence[Pipeline]], list[Problem]] = lambda _: [],
) -> PipelineFile:
    """Read the pipelines of a configuration.

    Args:
        source: A mapping of its keys, or the path of a JSON, TOML or YAML file.
        tenant: The tenant of its steps; by default that of the file, if it names one.
        faults: Finds further faults of pipelines, if some are wrong anyway.

    Raises:
        ConfigurationError: The file cannot be read, has no pipelines, or some have faults: all of
            them, with those of the configurations of their steps.
    """
    values = FileValues(source) if isinstance(source, Mapping) else await read_config(source)
    declared = values.pop(PIPELINES, None)
    pipelines, problems = read_pipelines(declared)
    if problems:
        parts = faultless_parts(declared)
        problems += faults(parts)
        for part in parts:
            try:
                await PipelineFile(values, pipelines, tenant).ready(part)
            except ConfigurationError as error:
                problems += error.problems
        raise ConfigurationError(dict.fromkeys(problems))
    if not pipelines:
        raise _fault("there is no pipeline; declare one, as {nightly: {steps: {collect: {}}}}")
    if tenant is not None:
        values[TENANT] = tenant
    return PipelineFile(values, pipelines, tenant)


def _fault(text: str) -> ConfigurationError:
    return ConfigurationError([Problem(f"$.{PIPELINES}", text)])


def _placed(problem: Problem, options: Mapping[str, Any], place: str) -> Problem:
    """Return a fault with the place of the option that has it, if it is one of a step's own."""
    key = problem.path.removeprefix("$.")
    if problem.origin != OVERRIDE or key.partition(".")[0].partition("[")[0] not in options:
        return problem
    return evolve(problem, path=f"{place}.with.{key}", origin="")
