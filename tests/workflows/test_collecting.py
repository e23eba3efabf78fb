"""The options of the one call are named, typed, and those of the workflow."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from crypto_lakehouse import ArchiveCollectionWorkflow, run_collection


def options(call: Any) -> dict[str, tuple[Any, Any]]:
    return {
        name: (parameter.annotation, parameter.default)
        for name, parameter in inspect.signature(call).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def test_the_call_takes_what_the_workflow_takes() -> None:
    assert options(run_collection) == options(ArchiveCollectionWorkflow)
    assert "Any" not in {annotation for annotation, _ in options(run_collection).values()}


async def test_a_misspelled_option_is_named() -> None:
    call: Any = run_collection
    with pytest.raises(TypeError, match="sink'"):
        await call({}, sink=[])
