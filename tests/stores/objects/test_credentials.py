"""Credentials of a store from variables that a configuration names, and from no others."""

from __future__ import annotations

import pytest
from tests.services.bucket import Bucket

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import ConfigurationError, StoreError
from crypto_lakehouse.core.redaction import redact_environment
from crypto_lakehouse.stores.objects.credentials import credential_settings
from crypto_lakehouse.stores.objects.opening import Connection, impatient, open_objects

S3 = {"AWS_ACCESS_KEY_ID": "DESK_ID", "AWS_SECRET_ACCESS_KEY": "DESK_WORD"}
AZURE = {"AZURE_STORAGE_ACCOUNT_KEY": "DESK_WORD"}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_ID", "AKIADESK")
    monkeypatch.setenv("DESK_WORD", "w0rd-of-a-desk")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-another-account")


def test_nothing_of_another_account_is_mixed_in() -> None:
    settings = credential_settings("s3", S3)
    provider = settings["credential_provider"]
    assert provider() == {
        "access_key_id": "AKIADESK", "secret_access_key": "w0rd-of-a-desk", "token": None,
        "expires_at": None,
    }  # fmt: skip
    assert "w0rd" not in repr(settings)
    assert redact_environment("signed with w0rd-of-a-desk") == "signed with ***"


def test_each_kind_of_store_takes_its_own() -> None:
    both = {**AZURE, "AZURE_STORAGE_SAS_KEY": "DESK_ID"}
    assert credential_settings("az", AZURE)["credential_provider"]() == {
        "access_key": "w0rd-of-a-desk", "expires_at": None,
    }  # fmt: skip
    assert credential_settings("az", both)["credential_provider"]()["sas_token"] == "AKIADESK"
    google = {"GOOGLE_APPLICATION_CREDENTIALS": "DESK_ID"}
    assert credential_settings("gs", google) == {"application_credentials": "AKIADESK"}
    for scheme in ("s3", "gs"):
        assert credential_settings(scheme, AZURE) == {}
    assert credential_settings("s3", None) == {}


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DESK_WORD")
    with pytest.raises(ConfigurationError, match="variable `DESK_WORD` is not set"):
        open_objects(StoreUrl.parse("s3://bucket"), {}, Connection(credentials=S3))


@pytest.mark.parametrize("server", ["rclone", "azurite"])
def test_a_store_takes_what_the_variables_have(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket: Bucket = request.getfixturevalue(f"{server}_bucket")
    names = S3 if server == "rclone" else AZURE
    for name, value in bucket.environment.items():
        if name in names:
            monkeypatch.setenv(names[name], value)
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    place = StoreUrl.parse(bucket.fresh_prefix())
    client = open_objects(place, bucket.storage, Connection(credentials=names)).client
    client.put("key", b"data")
    assert impatient(client, 10).read("key") == b"data"
    monkeypatch.setenv("DESK_WORD", "d3Jvbmctb25l")  # Azure's are in base64
    refused = open_objects(place, bucket.storage, Connection(credentials=names)).client
    with pytest.raises(StoreError) as raised:
        refused.read("key")
    assert "403" in str(raised.value)
    assert "d3Jvbmctb25l" not in str(raised.value)
