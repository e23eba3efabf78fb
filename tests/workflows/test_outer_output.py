"""No run writes to an output that is inside another output or a lake."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.services.bucket import Bucket
from tests.workflows.conftest import KEY, Collection, make_zip, member_of

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_places import check_place

IS_INSIDE = r"is in `data` of the output `.*`, whose archives it would be counted with; use another"


@pytest.fixture
def published(collection: Collection) -> Collection:
    collection.publish(KEY, make_zip(member_of(KEY), b"1,2,3\n"))
    return collection


@pytest.mark.parametrize("inside", ["data", "data/x", "data/spot/y/data/z"])
async def test_a_directory_inside_the_data_of_another_output_is_refused(
    published: Collection, inside: str, tmp_path: Path
) -> None:
    await published.run()
    place = published.root / inside
    link = tmp_path / "link"
    link.symlink_to(place)
    existed = place.exists()
    place.mkdir(parents=True, exist_ok=True)
    for named in (place, link):
        with pytest.raises(ConfigurationError, match=IS_INSIDE) as caught:
            await published.run(output_directory=str(named))
        assert f"`{published.root}`" in str(caught.value)
    assert not (place / ".lakehouse").exists()
    assert existed == (inside == "data")


@pytest.mark.parametrize("mark", ["catalog.db", "warehouse/lakehouse/archives/metadata"])
async def test_a_directory_inside_the_warehouse_of_a_lake_is_refused(
    published: Collection, mark: str, tmp_path: Path
) -> None:
    """Its catalog is in it, or in a database."""
    lake = tmp_path / "lake"
    inside = lake / "warehouse" / "spot" / "out"
    (lake / mark).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"is in `warehouse` of the lake `.*/lake`, which"):
        await published.run(output_directory=str(inside))
    assert not (inside / ".lakehouse").exists()
    (lake / mark).rmdir()
    assert (await published.run(output_directory=str(inside))).status == "complete"


async def test_a_folder_named_data_is_an_output_beside_no_other(
    published: Collection, tmp_path: Path
) -> None:
    for place in ("data", "x/data/y"):
        report = await published.run(output_directory=str(tmp_path / place))
        assert report.status == "complete"


async def test_a_prefix_inside_the_data_of_another_output_is_refused(
    published: Collection,
    ministack_bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ministack_bucket.give_credentials(monkeypatch)
    url = ministack_bucket.fresh_prefix()
    settings = {"storage": dict(ministack_bucket.storage)}

    async def collect(place: str, state: str) -> str:
        folder = str(tmp_path / state)
        report = await published.run(output_directory=place, state_directory=folder, **settings)
        return report.status

    assert await collect(f"{url}/data/early", "early") == "complete"  # no output is around it yet
    assert await collect(url, "outer") == "complete"
    with pytest.raises(ConfigurationError, match=IS_INSIDE) as caught:
        await collect(f"{url}/data/x", "inner")
    assert f"`{url}`" in str(caught.value)
    assert not list(ministack_bucket.open(f"{url}/data/x").client.objects(""))
    assert await collect(f"{url}/other/data/x", "other") == "complete"

    def checked(lake: str) -> None:
        values = {"output_directory": url, "lake": f"{url}/{lake}"}
        storage = dict(ministack_bucket.storage)
        config = LakeConfig(values, storage=storage, state_directory=str(tmp_path), environ={})
        check_place(config, output_of(url))

    ministack_bucket.open(f"{url}/lake").client.put(".lakehouse/tables/spot.klines.json", b"{}")
    with pytest.raises(ConfigurationError, match="is in `warehouse` of the lake"):
        await collect(f"{url}/lake/warehouse/out", "in the lake")
    for inside in ("data/lake", "lake/warehouse/spot/klines/lake"):
        with pytest.raises(ConfigurationError, match=r"is in `(data|warehouse)` of the .*; use"):
            checked(inside)
    for beside in ("lake", "warehouse/lake", "other/lake"):
        checked(beside)
    metadata = "warehouse/lakehouse/archives/metadata/00000.metadata.json"
    ministack_bucket.open(f"{url}/catalog elsewhere").client.put(metadata, b"{}")
    with pytest.raises(ConfigurationError, match="is in `warehouse` of the lake"):
        checked("catalog elsewhere/warehouse/lake")
