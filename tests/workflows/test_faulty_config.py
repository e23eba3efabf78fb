"""No workflow runs a configuration that keeps its faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow, run_collection
from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.wiring.load_config import load_config
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone


def faulty() -> WorkflowConfig:
    return WorkflowConfig({"max_retries": 21}, environ={}, validate=False)


@pytest.mark.parametrize(
    "make",
    [
        ArchiveCollectionWorkflow,
        lambda config: CollectAndIngest(config, LakeConfig(output_directory="out")),
    ],
)
def test_a_workflow_refuses_it(make: Callable[[WorkflowConfig], object]) -> None:
    config = faulty()
    with pytest.raises(ConfigurationError) as refused:
        make(config)
    assert refused.value.problems == config.problems


async def test_so_do_the_functions_that_take_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        await run_collection(faulty())
    with pytest.raises(ConfigurationError):
        await load_config(faulty())
    with pytest.raises(ConfigurationError):
        async with plan_alone(faulty()):
            pass
    held = faulty()
    assert await load_config(held, validate=False) is held
    assert list(tmp_path.iterdir()) == []
