"""A state folder is one output's: the ledger of one store says nothing about another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.errors import ConfigurationError, LockHeldError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.lease import Lease
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.workflows import (
    run_history,
    run_plan,
    run_prune,
    run_status,
    run_verification,
)

ONE, TWO = "s3://bucket/one", "s3://bucket/two"


@pytest.fixture
def state(collection: Collection, tmp_path: Path) -> Path:
    """The folder that the configuration of both stores names."""
    path = tmp_path / "state"
    collection.config |= {"output_directory": ONE, "state_directory": str(path)}
    return path


def memory(url: str) -> ObjectStore:
    return ObjectStore(ObjectClient(MemoryStore(), url))


async def test_another_store_is_refused_with_both_names(
    collection: Collection, state: Path
) -> None:
    store = memory(ONE)
    assert (await collection.run(store=store)).status == "complete"
    before = (state / "ledger.sqlite").read_bytes()
    other = memory(TWO)
    collection.server.clear()
    with pytest.raises(ConfigurationError) as caught:
        await collection.run(store=other, output_directory=TWO)
    said = str(caught.value)
    assert f"`{state}` has the ledger of `{ONE}`, and not that of `{TWO}`" in said
    assert f"remove `{state / 'store.json'}`" in said
    assert caught.value.exit_code == 2
    assert (state / "ledger.sqlite").read_bytes() == before
    assert (collection.requested(), list(other.folders(lambda _: None))) == ([], [])
    assert (await collection.run(store=store)).totals["unchanged"] == 1


READERS: dict[str, Callable[..., Any]] = {
    "plan": run_plan,
    "verify": run_verification,
    "status": lambda config, store: run_status(config),  # noqa: ARG005 - as the others
    "history": lambda config, store: run_history(config, KEY),  # noqa: ARG005 - as the others
    "prune": lambda config, store: run_prune(config, 0, store=store),
}


@pytest.mark.parametrize("command", READERS)
async def test_every_command_refuses_it(collection: Collection, state: Path, command: str) -> None:
    await collection.run(store=memory(ONE))
    config = {**collection.config, "output_directory": TWO}
    with pytest.raises(ConfigurationError, match=r"state_directory: .* the ledger of `s3://b"):
        await READERS[command](config, store=memory(TWO))
    assert (state / "store.json").is_file()


async def test_a_folder_of_an_earlier_version_is_adopted(
    collection: Collection, state: Path
) -> None:
    store = memory(ONE)
    await collection.run(store=store)
    (state / "store.json").unlink()
    assert (await collection.run(store=store)).totals["unchanged"] == 1
    with pytest.raises(ConfigurationError, match="has the ledger of"):
        await collection.run(store=memory(TWO), output_directory=TWO)


async def test_the_same_store_with_another_region_may_use_it(
    collection: Collection, state: Path
) -> None:
    store = memory(ONE)
    await collection.run(store=store)
    assert (state / "store.json").is_file()
    report = await collection.run(store=store, storage={"region": "eu-west-1"})
    assert report.totals["unchanged"] == 1


async def test_a_run_that_never_began_leaves_no_note(collection: Collection, state: Path) -> None:
    store = memory(ONE)
    Lease(store.client, "other").take()
    with pytest.raises(LockHeldError):
        await collection.run(store=store)
    assert (state / "lease.json").is_file(), "it has seen the lease of another run"
    assert not (state / "store.json").exists()
    report = await collection.run(store=memory(TWO), output_directory=TWO)
    assert report.totals["verified"] == 1
