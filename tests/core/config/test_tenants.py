"""`tenant` chooses one of the tenants of a file; no two of them write to the same place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.core.config.schema_check import is_valid
from tests.core.conftest import ENVIRONMENT, MINIMAL, faults, read

from crypto_lakehouse.core.config.schema import config_schema
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.workflows.lake_config import LakeConfig

TENANTS: dict[str, Any] = {
    "a": {"output_directory": "out-a", "max_retries": 1},
    "b": {"output_directory": "out-b", "lake": "lake-b"},
}
FILE: dict[str, Any] = {
    "max_retries": 3,
    "environments": {"production": {"max_retries": 9, "processes": "auto"}},
    "tenants": TENANTS,
}
STORE = "s3://bucket/one"


def test_a_tenant_is_above_the_file_and_the_profile_and_below_variables_and_options() -> None:
    chosen = read(FILE, tenant="a", environment="production")
    assert (chosen.output_directory, chosen.max_retries) == ("out-a", 1)
    assert (chosen.tenant, chosen.processes) == ("a", "auto")
    assert read(FILE, tenant="b", environment="production").max_retries == 9
    assert read(FILE, {f"{ENVIRONMENT}TENANT": "b"}).output_directory == "out-b"
    assert read(FILE, {f"{ENVIRONMENT}MAX_RETRIES": "7"}, tenant="a").max_retries == 7
    assert read(FILE, overrides={"tenant": "b", "output_directory": "x"}).output_directory == "x"
    assert chosen.origins["max_retries"] == "tenant `a`"
    assert set(faults({**FILE, "tenants": {"a": {"max_retries": 99}}}, tenant="a")) == {
        "$.tenants.a.max_retries"
    }
    assert WorkflowConfig(chosen.to_mapping(), environ={}) == chosen
    assert chosen.replace(max_retries=2).tenant == "a"


def test_a_lake_has_the_same_tenants() -> None:
    assert LakeConfig(FILE, tenant="b", environ={}).lake == "lake-b"
    with pytest.raises(ConfigurationError, match=r"\$\.tenant: required"):
        LakeConfig(FILE, environ={})


@pytest.mark.parametrize(
    ("tenant", "words"),
    [
        (None, "required, as the configuration has tenants; allowed: a, b"),
        ("aa", "there is no tenant `aa`; allowed: a, b"),
        ("../x", "there is no tenant `../x`; allowed: a, b"),
        (["a"], "must be text"),
    ],
)
def test_one_of_the_tenants_must_be_named(tenant: Any, words: str) -> None:
    found = faults(FILE, tenant=tenant)
    assert list(found) == ["$.tenant"]
    assert words in found["$.tenant"]


def test_without_tenants_there_is_none_to_name() -> None:
    assert faults(tenant="a") == {
        "$.tenant": "there is no tenant `a`; the configuration has no `tenants`"
    }


@pytest.mark.parametrize(
    ("tenants", "path", "words"),
    [
        ([1], "$.tenants", "not list"),
        ({}, "$.tenants", "not an empty one"),
        ({"../x": {}}, "$.tenants.../x", "is not the name of a tenant"),
        ({7: {}}, "$.tenants.7", "is not the name of a tenant"),
        ({"a": None}, "$.tenants.a", "must be a mapping of keys"),
        ({"a": {"max_retry": 1}}, "$.tenants.a.max_retry", "did you mean"),
        ({"a": {"tenant": "b"}}, "$.tenants.a.tenant", "unknown key"),
        ({"a": {"environment": "b"}}, "$.tenants.a.environment", "unknown key"),
    ],
)
def test_a_faulty_tenant_is_named_chosen_or_not(tenants: Any, path: str, words: str) -> None:
    name = next(iter(tenants)) if isinstance(tenants, dict) and tenants else None
    found = faults({"tenants": tenants}, tenant=str(name) if name else None)
    assert words in found[path]
    assert list(found) == [path]


@pytest.mark.parametrize(
    ("a", "b", "key", "words"),
    [
        ({"output_directory": "x"}, {"output_directory": "./y/../x"}, "output_directory",
         "is also the output of tenant `a`"),
        ({"output_directory": "x"}, {"output_directory": "x/y"}, "output_directory",
         "is inside the output of tenant `a`"),
        ({"output_directory": "x"}, {"output_directory": "y", "lake": "x/data"}, "lake",
         "is inside the output of tenant `a`"),
        ({"output_directory": STORE}, {"output_directory": f"{STORE}/"}, "output_directory",
         "is also the output of tenant `a`"),
        ({"output_directory": STORE}, {"output_directory": f"{STORE}/y"}, "output_directory",
         f"is inside the output of tenant `a`, {STORE}"),
        ({"output_directory": STORE, "state_directory": "s"},
         {"output_directory": f"{STORE}-2", "state_directory": "s"}, "state_directory",
         "is also the state directory of tenant `a`"),
        ({"output_directory": "x", "catalog": "rest"}, {"output_directory": "y", "catalog": "rest"},
         "catalog", "has one namespace for each market"),
        ({"output_directory": "x", "metrics_textfile": "m.prom"},
         {"output_directory": "y", "metrics_textfile": "m.prom"}, "metrics_textfile",
         "is also the file for metrics of tenant `a`"),
    ],
)  # fmt: skip
def test_no_two_tenants_write_to_one_place(
    a: dict[str, str], b: dict[str, str], key: str, words: str
) -> None:
    for chosen in ("a", "b"):
        with pytest.raises(ConfigurationError) as raised:
            WorkflowConfig({**MINIMAL, "tenants": {"a": a, "b": b}, "tenant": chosen}, environ={})
        found = {each.path: each.message for each in raised.value.problems}
        assert list(found) == [f"$.tenants.b.{key}"]
        assert words in found[f"$.tenants.b.{key}"]


def test_a_place_of_all_tenants_is_that_of_two(tmp_path: Path) -> None:
    tenants: dict[str, Any] = {"a": {}, "b": {"output_directory": 7}, "c": {}}
    found = faults({"output_directory": tmp_path, "tenants": tenants}, tenant="a")
    assert list(found) == ["$.tenants.c.output_directory"]
    (tmp_path / "link").symlink_to(tmp_path)
    tenants = {"a": {"output_directory": tmp_path}, "b": {"output_directory": tmp_path / "link"}}
    assert set(faults({"tenants": tenants}, tenant="a")) == {"$.tenants.b.output_directory"}
    variable = {f"{ENVIRONMENT}OUTPUT_DIRECTORY": "one"}
    assert set(faults(FILE, variable, tenant="a")) == {"$.tenants.b.output_directory"}


def test_stores_and_databases_of_two_tenants_are_two() -> None:
    endpoints = [{"endpoint": f"https://{name}.example"} for name in ("one", "two")]
    shared = {"output_directory": STORE, "state_directory": "s", "catalog": "postgresql://h/d"}
    tenants = {
        name: {**shared, "storage": storage, "state_directory": name}
        for name, storage in zip("ab", endpoints, strict=True)
    }
    values = {**MINIMAL, "ledger": "postgresql://h/d", "tenants": tenants, "tenant": "a"}
    assert WorkflowConfig(values, environ={}).storage == endpoints[0]
    assert read({"tenants": TENANTS, "state_directory": "s"}, tenant="a").state_directory == "s"
    bad = {"a": {"output_directory": "s3://a/../b"}, "b": {"output_directory": "s3://a/../b"}}
    assert set(faults({"tenants": bad}, tenant="a")) == {"$.tenants.a.output_directory"}


def test_tenants_are_in_the_schema() -> None:
    assert is_valid({**MINIMAL, "tenants": {"a": {"max_retries": 1}}}, config_schema())
    wrong: Any
    for wrong in ({"a": {"max_retries": 99}}, {"../x": {}}, {"a": {"tenant": "b"}}, {}):
        assert not is_valid({**MINIMAL, "tenants": wrong}, config_schema())
