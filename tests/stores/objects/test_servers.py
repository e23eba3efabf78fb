"""The requirements of every store, on real servers and on a double of Google Cloud Storage."""

from __future__ import annotations

import asyncio

import pytest
from tests.services.bucket import Bucket
from tests.stores.conftest import FOLDER, KEY

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.testing import StoreSuite


class _OnServer(StoreSuite):
    """Each test has a prefix of its own."""

    bucket: Bucket

    def make_store(self) -> ObjectStore:
        return self.bucket.open()


class TestMinistack(_OnServer):
    @pytest.fixture(autouse=True)
    def _server(self, ministack_bucket: Bucket) -> None:
        self.bucket = ministack_bucket


class TestRclone(_OnServer):
    @pytest.fixture(autouse=True)
    def _server(self, rclone_bucket: Bucket) -> None:
        self.bucket = rclone_bucket


class TestAzurite(_OnServer):
    @pytest.fixture(autouse=True)
    def _server(self, azurite_bucket: Bucket) -> None:
        self.bucket = azurite_bucket


class TestGcs(_OnServer):
    @pytest.fixture(autouse=True)
    def _server(self, gcs_bucket: Bucket) -> None:
        self.bucket = gcs_bucket


@pytest.fixture(params=["ministack_bucket", "rclone_bucket", "azurite_bucket", "gcs_bucket"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    bucket = request.getfixturevalue(request.param)
    assert isinstance(bucket, Bucket)
    return bucket.open()


async def test_a_folder_may_have_more_objects_than_a_page(store: ObjectStore) -> None:
    names = {f"BTCUSDT-trades-{number:04}.zip" for number in range(1_010)}
    await asyncio.gather(*(store.put(FOLDER + name, b"x") for name in names))
    assert set(await store.scan(FOLDER)) == names
    assert set(store.scan_now(FOLDER).zips) == names


@pytest.mark.parametrize("size_bytes", [3, 9 << 20])
async def test_a_read_of_another_version_is_an_error(store: ObjectStore, size_bytes: int) -> None:
    await store.put(KEY, b"a" * size_bytes)
    info = store.client.head(KEY)
    assert info is not None
    await store.put(KEY, b"b" * size_bytes)
    with pytest.raises(StoreError, match="it was replaced while it was read; run again"):
        store.client.read_range(info, 0, size_bytes)
