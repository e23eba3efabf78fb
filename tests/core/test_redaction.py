"""Secrets are masked wherever text is shown, and plain text is left alone."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import archives

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.redaction import redact, redact_environment
from crypto_lakehouse.ledger.postgres.server import Server

SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "https://me:hunter2@mirror.example/data",
        "HTTPS://hunter2@mirror.example",
        "s3://me:hunter2@bucket/key",
        "see https://me:hunter2@one.example and http://me:hunter2@two.example",
        "x_https://me:hunter2@mirror.example",
        "7https://me:hunter2@mirror.example",
        "https://me:p@hunter2@mirror.example",
        "https://me@corp.example:hunter2@mirror.example/a@b",
        "https://mirror.example/?X-Amz-Signature=hunter2&part=1",
        "https://mirror.example/?X-Amz-Credential=hunter2%2F20250715",
        "https://mirror.example/?X-Amz-Security-Token=hunter2",
        "https://mirror.example/?sig=hunter2",
        "https://mirror.example/#access_token=hunter2",
        "AWS_SECRET_ACCESS_KEY=hunter2",
        "aws_access_key_id: hunter2",
        "api-key=hunter2 symbol=BTCUSDT",
        "apikey: hunter2",
        "{'password': 'hunter2'}",
        "{'password': 'a hunter2'}",
        "{'password': 'a,hunter2'}",
        '{"passwd": "hunter2"}',
        '{"token":"a;hunter2"}',
        '{"token":"a\\"hunter2"}',
        "password='hunter2'",
        "--password=hunter2",
        "Authorization: Bearer hunter2",
        "authorization: basic hunter2",
        "{'Authorization': 'Bearer hunter2'}",
        "you sent: Basic hunter2==",
        "bearer eyJ.hunter2",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    shown = redact(text)
    assert SECRET not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@h.example/data?part=1", "https://***@h.example/data?part=1"),
        ("https://h.example/?a=1&token=x&b=2", "https://h.example/?a=1&token=***&b=2"),
        ("{'api_key': 'x', 'symbol': 'BTCUSDT'}", "{'api_key': '***', 'symbol': 'BTCUSDT'}"),
        ("https://token:pw@h.example/data", "https://***@h.example/data"),
        ("password='x y', symbol='BTCUSDT'", "password='***', symbol='BTCUSDT'"),
        ("password=x;symbol=BTCUSDT", "password=***;symbol=BTCUSDT"),
        ("Authorization: Bearer x, Accept: zip", "Authorization: ***, Accept: zip"),
    ],
)
def test_what_stands_beside_a_secret_stays_readable(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://data.binance.vision/data/spot/",
        "https://mirror.example/data@2025/a",
        "mail the author@example.org",
        "the design keeps its monkey: it works",
        "part=1&prefix=data/spot",
        "unknown key `token`; allowed: markets",
        "the basic idea, and bearer shares",
    ],
)
def test_text_without_secrets_is_unchanged(text: str) -> None:
    assert redact(text) == text


@given(archives)
def test_keys_are_never_masked(archive: Archive) -> None:
    assert redact(archive.key) == archive.key
    assert redact(f"https://data.binance.vision/{archive.key}").endswith(archive.key)


pieces = st.sampled_from(
    [
        "https://me:pw@h.example/a",
        "?token=x",
        "&part=1",
        "password: 'x y'",
        " ",
        ",",
        "@",
        "BTCUSDT",
    ]
)


@given(st.text() | st.lists(pieces).map("".join))
def test_masking_twice_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(
    st.text(
        st.characters(categories=("L", "N"), include_characters="-._~!$&'()*+,;=:%@"), min_size=1
    )
)
def test_no_user_information_outlives_masking(userinfo: str) -> None:
    shown = redact(f"https://{userinfo}@mirror.example/data")
    assert shown == "https://***@mirror.example/data"


@pytest.mark.parametrize("piece", ["basic ", "Bearer a"])
def test_long_text_of_schemes_is_masked_in_one_pass(piece: str) -> None:
    assert redact(piece * 100_000)


@pytest.mark.parametrize("piece", ["a", "a.", "a:", "://", "://a", "token", "token=", "a@", "sig "])
def test_long_text_is_masked_in_one_pass(piece: str) -> None:
    """Guards against patterns whose cost grows with the square of the length."""
    assert redact(piece * 100_000)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalr/XUtn+FEMI", "wJalr/XUtn+FEMI"),
        ("AWS_SECRET_ACCESS_KEY", "wJalr/XUtn+FEMI", "wJalr%2FXUtn%2BFEMI"),
        ("AWS_SESSION_TOKEN", "TOKENTOKENSECRET", "TOKENTOKENSECRET"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "bXkga2V5", "bXkga2V5"),
        ("AZURE_STORAGE_KEY", "bXkga2V5", "bXkga2V5"),
        ("AZURE_STORAGE_SAS_KEY", "sv=2025&s=1", "sv=2025&s=1"),
        ("AZURE_CLIENT_SECRET", "a~secret", "a~secret"),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", '{"a": "b"}', '{"a": "b"}'),
        ("GOOGLE_APPLICATION_CREDENTIALS", '{"a": "b"}', '{"a": "b"}'),  # not the file's path
        ("GOOGLE_APPLICATION_CREDENTIALS", "/4AAQSk", "/4AAQSk"),
        ("PGPASSWORD", "correct horse", "correct horse"),
        ("https_proxy", "http://me:p%40ss@proxy:1", "p@ss"),
        ("HTTPS_PROXY", "http://me:p%40ss@proxy:1", "p%40ss"),
        ("ALL_PROXY", "http://[me:pass", "http://[me:pass"),
    ],
)
def test_a_secret_of_the_environment_is_masked_wherever_it_is(
    name: str, value: str, secret: str
) -> None:
    text = f"The provided {secret} has expired"
    assert redact_environment(text, {name: value}) == "The provided *** has expired"


def test_only_secrets_of_the_environment_are_masked() -> None:
    environ = {"HOME": "/root", "AWS_REGION": "eu-west-1", "PGPASSWORD": "", "A_TOKEN": "abc"}
    environ |= {"HTTPS_PROXY": "http://proxy:3128"}
    environ |= {"GOOGLE_APPLICATION_CREDENTIALS": "/etc/a.json", "WEB_TOKEN_FILE": "/run/b/c"}
    text = "/root eu-west-1 proxy 3128 abc /etc/a.json /run/b/c"
    assert redact_environment(text, environ) == text


def test_a_secret_in_another_one_leaves_nothing_of_it() -> None:
    environ = {"A_TOKEN": "secret", "B_TOKEN": "secret-and-more"}
    assert redact_environment("a secret-and-more", environ) == "a ***"


def test_errors_with_texts_of_others_have_no_secret_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PGPASSWORD", "correct horse")
    text = "no user has the password correct horse"
    server = Server("postgresql://host/database", "schema")
    errors = [
        str(LakeError("lake", text)),
        str(server.refusal(psycopg.OperationalError(text), "reached")),
        unforeseen(ValueError(text), "data/x.zip"),
    ]
    assert ["has the password ***" in error for error in errors] == [True] * 3
    assert "has the password ***" in caplog.text
    assert "horse" not in caplog.text + "".join(errors)
