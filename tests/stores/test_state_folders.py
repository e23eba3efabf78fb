"""Which local folder the ledger of an object store and the catalog of a lake are in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.stores.state import StateFolder, lake_state

URL = StoreUrl.parse("s3://bucket/prefix")
AZURE = StoreUrl.parse("az://bucket/prefix")
ONE, TWO = {"endpoint": "https://one.example"}, {"endpoint": "https://two.example"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "crypto-lakehouse"


def test_the_folder_of_a_store_without_settings_is_named_by_its_url(home: Path) -> None:
    name = hashlib.sha256(b"s3://bucket/prefix").hexdigest()[:32]
    assert StateFolder.of_url(URL).path == home / name
    assert StateFolder.of_url(URL, {"region": "eu-west-1"}).path == home / name
    assert lake_state(URL) == home / f"lake-{name}"


def test_stores_with_one_bucket_name_have_a_folder_each() -> None:
    places = [(URL, None), (URL, ONE), (URL, TWO), (AZURE, {"account": "a"}),
              (AZURE, {"account": "b"}), (AZURE, {"account": "a", **ONE})]  # fmt: skip
    assert len({StateFolder.of_url(*place).path for place in places}) == len(places)
    assert len({lake_state(*place) for place in places}) == len(places)


def test_the_region_and_a_slash_at_the_end_change_no_folder() -> None:
    other = {"endpoint": f"{ONE['endpoint']}/", "region": "auto"}
    assert StateFolder.of_url(URL, ONE).path == StateFolder.of_url(URL, other).path
    assert lake_state(URL, ONE) == lake_state(URL, other)


def test_in_a_directory_that_is_given_lakes_of_several_stores_have_a_folder_each(
    tmp_path: Path,
) -> None:
    given = str(tmp_path / "given")
    assert StateFolder.of_url(URL, ONE, given).path == Path(given)
    one, two = lake_state(URL, ONE, given), lake_state(URL, TWO, given)
    assert one != two
    assert one.parent == two.parent == Path(given)
