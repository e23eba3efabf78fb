"""Every block of code, SQL and configuration on every page runs."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.documentation.collector import Block, blocks, commands, pages
from tests.documentation.world import CONFIG
from tests.stores.memory import MemoryStore

from crypto_lakehouse.cli.main import cli, main
from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.testing import ArchiveServer, StoreSuite
from crypto_lakehouse.workflows.pipelines.declared import load_pipelines

BLOCKS = blocks()

CONFIGURATIONS = ("yaml", "toml", "json")

#: The word of a JSON block that is for another program, which starts our command.
SERVERS = "mcpServers"


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def test_blocks_are_found() -> None:
    assert {block.place.partition(":")[0] for block in BLOCKS} >= {"README.md", "docs/tables.md"}
    fences = sum(len(re.findall(r"^ *```", page.read_text(), re.MULTILINE)) for page in pages())
    assert fences == 2 * len(BLOCKS), "a block is not found, is indented, or is not closed"


def test_every_block_has_a_language_that_is_tested() -> None:
    tested = {"sh", "python", "sql", *CONFIGURATIONS}
    for block in BLOCKS:
        if block.language not in tested:
            assert not block.language, f"{block.place}: blocks of {block.language} are not tested"
            programs = ("crypto-lakehouse ", "make ", "python ", "import ", "from ", "SELECT ")
            typed = [line for line in block.text.splitlines() if line.startswith(programs)]
            assert typed == [], f"{block.place}: name its language, so that it is tested"


@pytest.mark.parametrize("page", sorted({each.place.partition(":")[0] for each in of("python")}))
def test_the_code_of_a_page_runs(
    page: str, world: Path, source: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {"MyStore": MemoryStore}
    for block in of("python"):
        if block.place.partition(":")[0] == page:
            known = set(names)
            code = compile(block.text.replace("{...}", repr(CONFIG)), block.place, "exec")
            if block.runs_elsewhere:
                continue
            exec(code, names)  # noqa: S102
            with monkeypatch.context() as without:
                without.delenv("CRYPTO_LAKEHOUSE_SOURCE_URL")  # functions name their source
                for name in names.keys() - known:
                    use(names[name], names, source, world)


def use(value: Any, names: dict[str, Any], source: ArchiveServer, folder: Path) -> None:
    """Call what a block only defines."""
    if inspect.iscoroutinefunction(value) and value.__globals__ is names:
        given = {
            "archive_server": source, "tmp_path": folder / "new", "tracing": aiohttp.TraceConfig(),
            "day": "2025-07-15", "events": [], "stopped": asyncio.Event(),
            "config": {
                **CONFIG, "output_directory": str(folder / "new"), "source_url": source.url
            },
        }  # fmt: skip
        asyncio.run(value(**{each: given[each] for each in inspect.signature(value).parameters}))
    elif isinstance(value, type) and issubclass(value, StoreSuite) and value is not StoreSuite:
        assert value().make_store() is not None


@pytest.mark.parametrize("block", of("sql"), ids=lambda block: block.place)
def test_sql_is_answered(block: Block, world: Path) -> None:
    with Lake.open("data") as lake:
        lake.sql(block.text).fetchall()


async def check_pipelines(path: Path) -> None:
    file = await load_pipelines(path)
    for pipeline in file.pipelines.values():
        await file.ready(pipeline)


@pytest.mark.parametrize(
    "block",
    [block for block in of(*CONFIGURATIONS) if SERVERS not in block.text],
    ids=lambda block: block.place,
)
def test_a_configuration_is_accepted(
    block: Block,
    world: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = world / f"example.{block.language}"
    path.write_text(block.text)
    values = parse_config(block.text, path.name)
    if "pipelines" in values:
        asyncio.run(check_pipelines(path))
    environments, tenants = values.get("environments", {}), values.get("tenants", {})
    by_tenant: list[tuple[str, ...]] = [("--tenant", name) for name in tenants] or [()]
    for names in (each.get("credentials", {}) for each in tenants.values()):
        for variable in names.values():
            monkeypatch.setenv(variable, "https://me:word@source.example")
    for chosen in (*by_tenant, *((*by_tenant[0], "--environment", name) for name in environments)):
        with pytest.raises(SystemExit) as ended:
            main(["config", "show", "--config", str(path), *chosen])
        assert ended.value.code == 0, capsys.readouterr()


def test_what_a_client_of_a_server_starts_is_parsed() -> None:
    found = [json.loads(block.text)[SERVERS] for block in of("json") if SERVERS in block.text]
    for server in (each for servers in found for each in servers.values()):
        name, *arguments = server["args"]
        parent = cli.make_context(server["command"], [name])
        with commands()[name].make_context(name, arguments, parent=parent):
            pass
    assert found
