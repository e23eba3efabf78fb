"""Runs copy their ledger to the object store, and begin from the copy if the ledger is lost."""

from __future__ import annotations

import errno
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from tests.workflows.conftest import KEY, SIDECAR, Collection, make_zip, member_of

from crypto_lakehouse.core.errors import ConfigurationError, LedgerError
from crypto_lakehouse.ledger.history import Version
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.ledger_copy import ASIDE_FOLDER, COPY_KEY
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.workflows import run_history, run_plan
from crypto_lakehouse.workflows.wiring import ledger_copies, lost_ledger
from crypto_lakehouse.workflows.wiring.copy_pace import CopyPace

NEWS = make_zip(member_of(KEY), b"other,bars\n")


@pytest.fixture
def client() -> ObjectClient:
    return ObjectClient(MemoryStore(), "memory://bucket")


@pytest.fixture
def store(client: ObjectClient) -> ObjectStore:
    return ObjectStore(client)


def state_of(collection: Collection) -> Path:
    return collection.root / ".lakehouse"


def lose_state(collection: Collection) -> None:
    shutil.rmtree(state_of(collection))


async def versions(collection: Collection) -> list[Version]:
    return list((await run_history(collection.config, KEY)).versions)


async def test_a_lost_ledger_is_fetched_with_its_history(
    collection: Collection, store: ObjectStore
) -> None:
    await collection.run(store=store)
    collection.publish(KEY, NEWS)
    await collection.run(store=store, force_redownload=True)
    before = await versions(collection)
    assert len(before) == 2
    lose_state(collection)
    collection.server.clear()
    report = await collection.run(store=store)
    assert report.totals["unchanged"] == 1
    assert collection.requested() == []
    assert any(
        "its copy was fetched from `memory://bucket/.lak" in each for each in report.warnings
    )
    assert await versions(collection) == before


async def test_a_run_without_news_sends_no_copy(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    await collection.run(store=store)
    first = client.head(COPY_KEY)
    await collection.run(store=store)
    assert client.head(COPY_KEY) == first
    client.delete(COPY_KEY)
    await collection.run(store=store)  # the copy is missing
    assert client.head(COPY_KEY) is not None


async def test_a_damaged_copy_is_set_aside(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    await collection.run(store=store)
    client.put(COPY_KEY, b"damaged")
    lose_state(collection)
    report = await collection.run(store=store)
    assert report.totals["unchanged"] == 1
    (warning,) = [each for each in report.warnings if "its copy in the store is damaged" in each]
    (aside,) = set_aside(client)
    assert f"is kept as `memory://bucket/{aside}`" in warning
    assert client.read(aside) == b"damaged"
    assert gzip.decompress(client.read(COPY_KEY) or b"").startswith(b"SQLite format 3")


def set_aside(client: ObjectClient) -> list[str]:
    """The keys of copies that were set aside."""
    return [info.key for info in client.objects(ASIDE_FOLDER)]


async def test_a_copy_with_damaged_rows_is_rebuilt_and_kept(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    await collection.run(store=store)
    data = bytearray(gzip.decompress(client.read(COPY_KEY) or b""))
    data[4096:8192] = bytes(4096)
    damaged = gzip.compress(bytes(data))
    client.put(COPY_KEY, damaged)
    lose_state(collection)
    report = await collection.run(store=store)
    assert report.status == "complete"
    assert any("is damaged" in each for each in report.warnings)
    (aside,) = set_aside(client)
    assert f"the damaged copy in the store is kept as `memory://bucket/{aside}`" in report.warnings
    assert aside.startswith(f"{ASIDE_FOLDER}damaged-")
    assert client.read(aside) == damaged
    assert client.read(COPY_KEY) != damaged
    lose_state(collection)
    assert not any("damaged" in each for each in (await collection.run(store=store)).warnings)


async def test_the_copy_of_a_ledger_that_was_damaged_here_is_kept(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    """The rebuilt ledger may lack the history that the copy has."""
    await collection.run(store=store)
    collection.publish(KEY, NEWS)
    await collection.run(store=store, force_redownload=True)
    before = client.read(COPY_KEY)
    assert len(await versions(collection)) == 2
    ledger = state_of(collection) / "ledger.sqlite"
    ledger.write_bytes(b"damaged" * 1000)
    report = await collection.run(store=store)
    assert report.status == "complete"
    (aside,) = set_aside(client)
    said = f"the copy from before the damage in the store is kept as `memory://bucket/{aside}`"
    assert said in report.warnings
    assert client.read(aside) == before
    assert client.read(COPY_KEY) not in {None, before}


async def test_a_foreign_copy_and_one_that_is_gone_are_not_kept_twice(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    await collection.run(store=store)
    ledger = state_of(collection) / "ledger.sqlite"
    ledger.write_bytes(b"damaged" * 1000)
    client.delete(COPY_KEY)
    await collection.run(store=store)
    client.put(COPY_KEY, b"of another machine")
    ledger.write_bytes(b"damaged" * 1000)
    await collection.run(store=store)
    assert set_aside(client) == []
    assert client.read(COPY_KEY) == b"of another machine"


async def test_a_copy_of_a_later_version_is_not_replaced(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    await collection.run(store=store)
    data = bytearray(gzip.decompress(client.read(COPY_KEY) or b""))
    data[60:64] = (1_000_000).to_bytes(4, "big")
    client.put(COPY_KEY, gzip.compress(bytes(data)))
    before = client.head(COPY_KEY)
    lose_state(collection)
    for _ in range(2):
        with pytest.raises(LedgerError, match="later version of this program"):
            await collection.run(store=store)
    assert client.head(COPY_KEY) == before


async def test_the_copy_of_another_machine_stays(
    collection: Collection, store: ObjectStore, client: ObjectClient, tmp_path: Path
) -> None:
    await collection.run(store=store)
    elsewhere = str(tmp_path / "elsewhere")
    collection.publish(KEY, NEWS)
    await collection.run(store=store, output_directory=elsewhere, force_redownload=True)
    theirs = client.head(COPY_KEY)
    report = await collection.run(store=store, force_redownload=True)
    (warning,) = [each for each in report.warnings if "is of another machine" in each]
    assert str(state_of(collection)) in warning
    assert client.head(COPY_KEY) == theirs
    shutil.move(state_of(collection), tmp_path / "away")
    await collection.run(store=store, force_redownload=True)
    assert client.head(COPY_KEY) != theirs


async def test_a_copy_that_another_machine_writes_during_a_run_stays(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    await collection.run(store=store)
    sinks: list[Any] = [lambda _: client.put(COPY_KEY, b"theirs")]
    report = await collection.run(store=store, force_redownload=True, sinks=sinks)
    assert report.status == "complete"
    assert any("is of another machine" in each for each in report.warnings)
    assert client.read(COPY_KEY) == b"theirs"


async def test_a_ledger_is_copied_while_a_run_goes_on(
    collection: Collection,
    store: ObjectStore,
    client: ObjectClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_copies, "_LOOKS_EVERY_S", 0.001)
    monkeypatch.setattr(CopyPace, "is_due", lambda *_: True)
    copies: list[object] = []

    class Waiting(ObjectStore):
        """A store whose first body waits until the ledger was copied twice."""

        async def put_archive(self, *body: Any, sha256: str) -> Any:
            import anyio

            while len({info.etag for info in copies}) < 2:  # type: ignore[attr-defined]
                await anyio.sleep(0.001)
                copies.extend(filter(None, [client.head(COPY_KEY)]))
            return await super().put_archive(*body, sha256=sha256)

    report = await collection.run(store=Waiting(client))
    assert report.status == "complete"


async def test_a_copy_that_fails_is_a_warning(
    collection: Collection, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger_copies, "pack", refuse)
    report = await collection.run(store=store)
    assert report.status == "complete"
    assert any(
        "could not be copied to the store: No space left" in each for each in report.warnings
    )


async def test_a_link_in_the_place_of_the_folder_is_not_followed(
    collection: Collection, store: ObjectStore, tmp_path: Path
) -> None:
    await collection.run(store=store)
    (other := tmp_path / "other").mkdir()
    (other / "mine").touch()
    (state_of(collection) / "copying").symlink_to(other)
    report = await collection.run(store=store, force_redownload=True)
    assert any("could not be copied to the store" in each for each in report.warnings)
    assert (other / "mine").exists()
    (state_of(collection) / "ledger.sqlite").unlink()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await collection.run(store=store)
    assert (other / "mine").exists()


async def test_what_a_killed_run_left_is_removed(
    collection: Collection, store: ObjectStore
) -> None:
    folder = state_of(collection) / "copying"
    folder.mkdir(parents=True)
    (folder / "ledger.sqlite").write_bytes(b"half")
    assert (await collection.run(store=store)).status == "complete"
    assert not folder.exists()


async def test_a_directory_has_no_copy(collection: Collection) -> None:
    await collection.run()
    assert not [*collection.root.rglob("*.gz")]
    assert collection.path(SIDECAR).exists()


async def plan(collection: Collection, store: ObjectStore) -> tuple[int, int, tuple[str, ...]]:
    """How many files a plan would check first and leave as they are, and its remarks."""
    report = await run_plan(collection.config, store=store)
    return report.totals.to_check, report.totals.verified, report.notes


def altered(client: ObjectClient) -> None:
    data = bytearray(gzip.decompress(client.read(COPY_KEY) or b""))
    data[4096:8192] = bytes(4096)
    client.put(COPY_KEY, gzip.compress(bytes(data)))


async def test_a_plan_without_a_ledger_is_by_the_copy_and_writes_nothing(
    collection: Collection, store: ObjectStore, client: ObjectClient
) -> None:
    await collection.run(store=store)
    lose_state(collection)
    before = list(client.objects(""))
    to_check, verified, notes = await plan(collection, store)
    assert (to_check, verified) == (0, 1)
    (note,) = [each for each in notes if "in its place its copy" in each]
    assert str(state_of(collection)) in note
    assert f"memory://bucket/{COPY_KEY}" in note
    assert list(client.objects("")) == before
    assert not collection.root.exists() or not state_of(collection).exists()
    await collection.run(store=store)
    assert not any("its copy" in each for each in (await plan(collection, store))[2])


async def test_a_plan_by_verdicts_is_by_the_copy(
    collection: Collection, store: ObjectStore
) -> None:
    collection.publish(KEY, b"no zip")
    assert (await collection.run(store=store)).exit_code
    planned = (await run_plan({**collection.config, "only": "failed"}, store=store)).series
    assert len(planned) == 1
    lose_state(collection)
    report = await run_plan({**collection.config, "only": "failed"}, store=store)
    assert report.series == planned


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda client: client.put(COPY_KEY, b"damaged"), "`collect` checks what the store has"),
        (altered, "of which only the sound rows count"),
        (lambda client: client.delete(COPY_KEY), "1 file here is not proven by the ledger"),
    ],
    ids=["no gzip", "no database", "gone"],
)
async def test_a_plan_without_a_sound_copy_says_what_is_checked(
    collection: Collection,
    store: ObjectStore,
    client: ObjectClient,
    harm: Callable[[ObjectClient], object],
    said: str,
) -> None:
    await collection.run(store=store)
    lose_state(collection)
    harm(client)
    before = list(client.objects(""))
    to_check, _, notes = await plan(collection, store)
    assert to_check == 1
    assert any(said in each for each in notes)
    assert list(client.objects("")) == before


async def test_a_plan_that_cannot_decompress_the_copy_says_so(
    collection: Collection,
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await collection.run(store=store)
    lose_state(collection)

    def full(packed: Path, _place: str) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(packed))

    monkeypatch.setattr(lost_ledger, "unpack", full)
    with pytest.raises(LedgerError, match="No space left"):
        await plan(collection, store)
