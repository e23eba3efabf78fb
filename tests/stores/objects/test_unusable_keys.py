"""An object whose key the client refuses concerns its own folder alone."""

from __future__ import annotations

import hashlib
import http.client
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import evolve
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, behind_faults
from tests.stores.objects.scene import SMALL, Scene, on

from crypto_lakehouse.collection.verifier import FileState, StoredArchive
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import UnusableKey
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.made_up.zips import good_zip
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.questions import run_plan, run_verification

#: What follows the prefix of the output, or a folder, and how it is shown.
KEYS = {
    "../../etc/x.zip": "../../etc/x.zip",
    "./x.zip": "./x.zip",
    "/x.zip": "/x.zip",
    "x&#7;y.zip": r"x\x07y.zip",
}
OTHER = [key.replace("BTCUSDT", "ETHUSDT") for key in SMALL]
FOLDER = SMALL[0].rpartition("/")[0] + "/"
CHOSEN = {"data_types": ["klines"], "symbols": ["BTCUSDT", "ETHUSDT"]}


def beside(key: str, folder: str = FOLDER) -> Callable[[Forward], Answer]:
    """Return what adds a key to every listing that has objects of a folder."""

    def answer(forward: Forward) -> Answer:
        got = forward()
        text = got.body.decode()
        for found in re.finditer("<Contents>.*?</Contents>", text, re.DOTALL):
            if folder in found[0]:
                added = re.sub(f"{folder}[^<]*</Key>", f"{folder}{key}</Key>", found[0])
                text = text.replace(found[0], added + found[0], 1)
                break
        headers = {k: v for k, v in got.headers.items() if k.lower() != "content-length"}
        return evolve(got, headers=headers, body=text.encode())

    return answer


@pytest.fixture
def scene(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    ministack_bucket.give_credentials(monkeypatch)
    with (
        ArchiveServer(generate=False) as source,
        behind_faults(ministack_bucket) as (proxy, bucket),
    ):
        for key in (*SMALL, *OTHER):
            source.publish(key, good_zip(key, key.encode()))
        url = ministack_bucket.fresh_prefix()
        yield Scene(source, proxy, ministack_bucket, bucket, url, tmp_path / "state")


@pytest.mark.parametrize("key", KEYS)
def test_the_key_is_named_with_what_to_do(
    faulty: tuple[FaultProxy, ObjectClient], key: str
) -> None:
    proxy, client = faulty
    client.put(SMALL[0], b"x")
    proxy.fault = on(["list"], beside(key))
    with pytest.raises(UnusableKey, match="remove or rename that object") as caught:
        list(client.objects("data/"))
    assert f"{FOLDER}{KEYS[key]}` has an empty part" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.stops_run, caught.value.exit_code) == (False, 1)


def test_a_folder_beside_it_may_be_empty(faulty: tuple[FaultProxy, ObjectClient]) -> None:
    proxy, client = faulty
    client.put(SMALL[0], b"x")
    proxy.fault = on(["list"], beside("../x.zip"))
    assert list(client.objects(f"{FOLDER}none/")) == []


async def test_what_is_kept_in_other_folders_is_found(
    faulty: tuple[FaultProxy, ObjectClient], caplog: pytest.LogCaptureFixture
) -> None:
    proxy, client = faulty
    store = ObjectStore(client)
    for key in (SMALL[0], OTHER[0]):
        await store.put(key, b"old")
        await store.keep_replaced(key, hashlib.sha256(b"old").hexdigest())
        await store.quarantine(key, b"bad", {})
    proxy.fault = on(["list"], beside("./x.zip"))
    assert [item.archive.key for item in store.quarantined()] == [OTHER[0]]
    assert [kept.key for kept in store.kept_versions()] == [OTHER[0]]
    assert len(caplog.messages) == 2
    assert all("remove or rename that object" in said for said in caplog.messages)

    segments = [
        key.replace("data/", "rest/").replace(".zip", ".jsonl.zst") for key in (SMALL[0], OTHER[0])
    ]
    for key in segments:
        client.put(key, b"rows")
    folder = segments[0].rpartition("/")[0] + "/"
    proxy.fault = on(["list"], beside("./x.jsonl.zst", folder))
    unreadable: list[str] = []
    found = store.segments(lambda name, _: unreadable.append(name))
    assert ([key for key, _ in found], unreadable) == ([segments[1]], [folder])


async def test_only_its_folder_is_incomplete_for_collect_and_for_plan(scene: Scene) -> None:
    await scene.collect(**CHOSEN)
    scene.proxy.fault = on(["list"], beside("../x.zip"))
    report = await scene.collect(**CHOSEN)
    planned = await run_plan(scene.config(**CHOSEN))
    assert report.totals["unchanged"] == len(OTHER)
    assert report.totals["failed"] == len(SMALL)
    assert report.exit_code == planned.exit_code == 3
    assert {"remove or rename" in problem.reason for problem in report.problems} == {True}
    assert (planned.totals.verified, planned.totals.refused) == (len(OTHER), len(SMALL))
    assert any("remove or rename that object" in note for note in planned.notes)


@pytest.fixture(params=[f"{FOLDER}/x.zip", f"{FOLDER}../../x.zip", "data//x.zip", "data/spot/./x"])
async def with_a_bad_key(request: pytest.FixtureRequest, scene: Scene) -> tuple[Scene, str]:
    """A collected output, and the folder that has a bad key, which another program has stored."""
    await scene.collect(**CHOSEN)
    root = urlsplit(scene.url)
    address = urlsplit(scene.server.storage["endpoint"]).netloc
    with closing(http.client.HTTPConnection(address)) as connection:
        connection.request("PUT", f"/{root.netloc}{root.path}/{request.param}", b"x")
        assert connection.getresponse().status == 200
    folders = "../../x.zip", "/x.zip", "./x"
    return scene, next(
        request.param.removesuffix(end) for end in folders if request.param.endswith(end)
    )


async def test_a_verification_names_its_folder_and_goes_on(
    with_a_bad_key: tuple[Scene, str], tmp_path: Path
) -> None:
    scene, folder = with_a_bad_key
    readable = {*SMALL, *OTHER} if folder != FOLDER else {*OTHER}
    for state in ("state", "another"):  # with the ledger, and without it
        found: dict[str, StoredArchive] = {}

        async def keep(each: StoredArchive) -> None:
            found[each.key] = each  # noqa: B023 - called in this turn

        place = scene.config(**CHOSEN, state_directory=str(tmp_path / state))
        report = await run_verification(place, on_archive=keep)
        assert report.exit_code != 0
        assert "remove or rename that object" in found.pop(folder).reason
        assert report.folders == 1
        assert found.keys() == readable
        assert {each.state for each in found.values()} == {FileState.OK}
    sampled = await run_verification(scene.config(**CHOSEN), sample="100")
    assert sampled.totals.total() - sampled.folders == len(readable)


async def test_an_ingestion_names_its_folder_and_goes_on(
    with_a_bad_key: tuple[Scene, str], tmp_path: Path
) -> None:
    scene, folder = with_a_bad_key
    names = "output_directory", "storage", "state_directory"
    given = {name: value for name, value in scene.config().items() if name in names}
    chosen = LakeConfig({**given, "lake": str(tmp_path / "lake")}, environ={})
    report = (await IngestWorkflow(chosen).run()).report.to_mapping()
    (problem,) = [each for each in report["problems"] if each["key"] == folder]
    assert "remove or rename that object" in problem["reason"]
    # None of these is an archive of candles; the others were read and judged.
    assert report["totals"]["refused"] == (len(OTHER) if folder == FOLDER else 2 * len(OTHER))
