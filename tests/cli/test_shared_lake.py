"""The recipe of docs/shared-ledger.md: several machines ingest into one lake in an object store."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tests.cli.conftest import Shell, Start
from tests.cli.test_shared_runs import COUNT, Machine, on
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

__all__ = ["on"]

_PAGE = Path("docs/shared-ledger.md")
_RECIPE = re.compile(r"^crypto-lakehouse (ingest .*?--catalog \S+)$", re.DOTALL | re.MULTILINE)
_COUNT = "SELECT count(*) AS rows, count(DISTINCT (archive, open_time)) AS bars FROM spot.klines"


@pytest.fixture
def recipe(
    on: Machine,
    postgres_server: PostgresServer,
    ministack_bucket: Bucket,
    request: pytest.FixtureRequest,
) -> list[str]:
    """The command of the page, with an archive, a lake and a database that are there."""
    found = _RECIPE.search((request.config.rootpath / _PAGE).read_text())
    assert found is not None
    names = {
        "s3://bucket/archive": on("one")[2],
        "s3://bucket/lake": ministack_bucket.fresh_prefix(),
        "postgresql://host/database": postgres_server.url(),
    }
    words = shlex.split(found[1].replace("\\\n", " "))
    assert set(names) <= set(words)
    return [names.get(word, word) for word in words]


def test_the_sum_of_the_reports_is_what_the_lake_has(
    on: Machine, recipe: list[str], start: Start, shell: Shell, tmp_path: Path
) -> None:
    code, _, err = shell(*on("one", "1000"))
    assert code == 0, err
    machines = [["--state-directory", str(tmp_path / f"machine-{number}")] for number in (1, 2)]
    started = [start([*recipe, *machine, "--json"]) for machine in machines]
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    tables = [json.loads(out)["tables"] for out, _ in ended]
    lake = [*recipe[1:3], *recipe[5:], *machines[0]]
    code, out, err = shell("query", *lake, _COUNT, "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert found["rows"] == found["bars"] > 0
    assert sum(each["rows"] for some in tables for each in some) == found["rows"]
    assert sum(each["archives"] for some in tables for each in some) == COUNT
    assert [sum(each["archives"] + each["unchanged"] for each in some) for some in tables] == [
        COUNT, COUNT,
    ]  # fmt: skip
