"""No output and no lake is inside the own folder of an output."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_lakehouse.core.config.own_folder import own_folder_fault
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.workflows.lake_config import LakeConfig

REFUSED = "is in `.lakehouse`, the own folder of an output; name that output, or another place"

#: Below these, and at them, no output is possible.
INSIDE = [
    "s3://bucket/.lakehouse",
    "s3://bucket/prefix/.lakehouse/",
    "s3://bucket/prefix/.lakehouse/quarantine/x",
    "gs://bucket/prefix/%2elakehouse/x",
    "/data/.lakehouse",
    "/data/.lakehouse/replaced/x",
]
LAKES = ["s3://bucket/prefix/.lakehouse/lake", "/data/.lakehouse/lake"]
OUTSIDE = ["s3://bucket/prefix/lakehouse", "az://box/.lakehouses/x", "/data/x.lakehouse/y", "/"]


def config_of(place: str) -> WorkflowConfig:
    given = {"output_directory": place, "only": "quarantined"}
    return WorkflowConfig(given, environ={}, validate=False)


@pytest.mark.parametrize("place", INSIDE)
def test_no_output_and_no_lake_is_in_an_own_folder(place: str) -> None:
    for is_lake in (False, True):
        assert REFUSED in (own_folder_fault(place, is_lake=is_lake) or "")
    (problem,) = config_of(place).problems
    assert REFUSED in str(problem)
    with pytest.raises(ConfigurationError, match=REFUSED):
        output_of(place)
    with pytest.raises(ConfigurationError, match=rf"\$.lake: .*{REFUSED}"):
        LakeConfig({"output_directory": "data", "lake": place}, environ={})


@pytest.mark.parametrize("place", LAKES)
def test_only_a_lake_is_in_the_own_folder_of_its_output(place: str) -> None:
    assert own_folder_fault(place, is_lake=True) is None
    LakeConfig({"output_directory": "data", "lake": place}, environ={})
    with pytest.raises(ConfigurationError, match=REFUSED):
        output_of(place)
    assert REFUSED in (own_folder_fault(f"{place}/.lakehouse/lake", is_lake=True) or "")


@pytest.mark.parametrize("place", OUTSIDE)
def test_other_names_are_no_own_folder(place: str) -> None:
    assert own_folder_fault(place) is None


def test_a_relative_directory_is_looked_at_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / ".lakehouse"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert [REFUSED in str(problem) for problem in config_of("x").problems] == [True]


def test_a_lake_is_not_opened_there() -> None:
    with pytest.raises(ConfigurationError, match=REFUSED):
        Lake.open("s3://bucket/.lakehouse/x")
