"""An object whose key the client refuses concerns its own folder alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, behind_faults
from tests.stores.objects.scene import SMALL, Scene, on

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import UnusableKey
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.made_up.zips import good_zip
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


def beside(key: str) -> Callable[[Forward], Answer]:
    """Return what adds a key to every listing that has objects of a folder."""

    def answer(forward: Forward) -> Answer:
        got = forward()
        text = got.body.decode()
        for found in re.finditer("<Contents>.*?</Contents>", text, re.DOTALL):
            if FOLDER in found[0]:
                added = re.sub(f"{FOLDER}[^<]*</Key>", f"{FOLDER}{key}</Key>", found[0])
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


async def test_a_verification_names_it(scene: Scene) -> None:
    await scene.collect(**CHOSEN)
    scene.proxy.fault = on(["list"], beside("../x.zip"))
    with pytest.raises(StoreError, match="remove or rename that object") as caught:
        await run_verification(scene.config(**CHOSEN))
    assert (caught.value.stops_run, caught.value.exit_code) == (True, 1)
