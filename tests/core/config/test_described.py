"""What is said about a key is said once: help, documentation and schema agree with the code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.core.config.key_values import TWO_VALUES
from tests.core.config.schema_check import is_valid
from tests.core.conftest import MINIMAL

from crypto_lakehouse.core.config import docs
from crypto_lakehouse.core.config.keys import described
from crypto_lakehouse.core.config.rules import OLDER_KEYS
from crypto_lakehouse.core.config.schema import config_schema
from crypto_lakehouse.core.config.workflow_config import config_keys

_PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


#: Keys that 0.1.0 did not have.
NEW = {
    "proxy", "ca_bundle", "acknowledge", "holes_path", "max_bytes", "storage", "state_directory",
    "executor", "dask_scheduler", "shared_directory", "ledger", "ledger_schema",
    "fill",
    "otlp_endpoint",
    "record",
    "serve", "metrics_textfile", "freshness", "metrics_by_symbol", "tenant", "credentials",
}  # fmt: skip


@pytest.mark.parametrize("key", TWO_VALUES)
def test_every_key_is_described_in_sentences(key: str) -> None:
    found = described(config_keys()[key])
    assert found.form
    assert found.default
    assert found.about.help.endswith(".")
    assert found.about.since == ("0.2.0" if key in NEW else "0.1.0")


def test_the_page_holds_the_table_of_the_code() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    advice = "run `python -m crypto_lakehouse.core.config.docs`"
    assert docs.with_table(page) == page, advice


def test_the_table_is_written_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n")
    written_by = [sys.executable, "-m", docs.__name__, str(page)]
    subprocess.run(written_by, check=True, timeout=200)
    text = page.read_text()
    assert text.startswith(f"before\n{docs.BEGIN}\n| key |")
    assert text.endswith(f"|\n{docs.END}\nafter\n")
    assert "old" not in text.splitlines()


@pytest.mark.parametrize("page", ["", docs.BEGIN, docs.END])
def test_a_page_without_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="must contain the two lines"):
        docs.with_table(page)


def test_the_table_has_one_line_of_five_cells_for_each_key() -> None:
    lines = docs.keys_table(config_keys()).splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(config_keys())
    assert {line.count("|") for line in lines} == {6}


def test_the_schema_knows_every_key_and_the_older_ones() -> None:
    schema = config_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema
    properties = schema["properties"]
    assert set(properties) >= {*config_keys(), *OLDER_KEYS}
    assert all(properties[key]["deprecated"] for key in OLDER_KEYS)
    for key, attribute in config_keys().items():
        assert properties[key]["description"]
        if attribute.default not in (None, attrs.NOTHING, ()):
            assert properties[key]["default"] == attribute.default


@pytest.mark.parametrize("key", TWO_VALUES)
def test_the_schema_takes_what_the_configuration_takes(key: str) -> None:
    for value, _, _ in TWO_VALUES[key]:
        assert is_valid({**MINIMAL, key: value}, config_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_retry": 3},
        {"max_retries": 21},
        {"max_retries": -1},
        {"max_retries": True},
        {"timeout_seconds": 0},
        {"max_parallel_downloads": 257},
        {"processes": "many"},
        {"integrity": "md5"},
        {"integrity": None},
        {"markets": ["spto"]},
        {"markets": []},
        {"symbols": {"spto": ["BTCUSDT"]}},
        {"symbols": {}},
        {"intervals": ["1x"]},
        {"default_date": "20250715"},
        {"date_range": {"begin": "2025-07-15"}},
        {"proxy": "proxy.example:3128"},
        {"output_directory": ""},
    ],
)
def test_the_schema_refuses_what_the_configuration_refuses(wrong: dict[str, Any]) -> None:
    assert not is_valid({**MINIMAL, **wrong}, config_schema())


def test_the_schema_refuses_what_is_no_mapping() -> None:
    assert not is_valid([], config_schema())
