"""TLS is never relaxed: a source that cannot prove who it is is not asked for anything."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from tests.faults.tls_source import old_source, speaking, tls_source, trust
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.errors import ListingError
from crypto_lakehouse.http.tls_errors import tls_refusal

NOW = datetime.now(UTC)
LONG_AGO, YESTERDAY, TOMORROW = (NOW + timedelta(days=days) for days in (-90, -1, 1))
SOON = NOW + timedelta(days=90)

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


@pytest.fixture(autouse=True)
def _trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system trusts one authority, as SSL_CERT_FILE says."""
    trust(AUTHORITY, tmp_path, monkeypatch.setenv)


def speaking_only(version: ssl.TLSVersion) -> ssl.SSLContext:
    """How a server speaks nothing newer."""
    context = speaking(AUTHORITY, "127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


#: How a server speaks TLS, what is said of it, and what is to be done.
BAD: dict[str, tuple[Callable[[], ssl.SSLContext], str, str]] = {
    "another address": (
        lambda: speaking(AUTHORITY, "127.0.0.2"), "IP address mismatch", "use the host name",
    ),
    "another name": (
        lambda: speaking(AUTHORITY, "other.example"), "IP address mismatch", "use the host name",
    ),
    "a name that holds it": (
        lambda: speaking(AUTHORITY, "127.0.0.1.example"),
        "IP address mismatch",
        "use the host name",
    ),
    "a wildcard": (
        lambda: speaking(AUTHORITY, "*.0.0.1"), "IP address mismatch", "use the host name",
    ),
    "expired": (
        lambda: speaking(AUTHORITY, "127.0.0.1", not_before=LONG_AGO, not_after=YESTERDAY),
        "certificate has expired", "check this machine's clock",
    ),
    "not yet valid": (
        lambda: speaking(AUTHORITY, "127.0.0.1", not_before=TOMORROW, not_after=SOON),
        "certificate is not yet valid", "check this machine's clock",
    ),
    "of a stranger": (
        lambda: speaking(STRANGER, "127.0.0.1"), "unable to get local issuer", "SSL_CERT_FILE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_a_source_that_cannot_be_trusted_is_not_asked(
    collection: Collection, name: str
) -> None:
    make, why, what_to_do = BAD[name]
    async with tls_source(make()) as source:
        report = await collection.run(source_url=str(source.base))
        assert source.requests == [], "it never sees what is wanted of it"
        assert len(source.peers) == 0
    assert report.totals["failed"] == 1
    assert why in report.problems[0].reason
    assert what_to_do in report.problems[0].reason
    assert collection.sleeps.waits == [], "a certificate does not become good by asking again"
    assert collection.stray_files() == []


@pytest.mark.skipif(not ssl.HAS_TLSv1_1, reason="the ssl library speaks no old versions")
@pytest.mark.parametrize("with_session", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_a_source_that_speaks_old_versions_alone_is_not_asked(
    collection: Collection, version: ssl.TLSVersion, *, with_session: bool
) -> None:
    async with aiohttp.ClientSession() as session:
        options = {"session": session} if with_session else {}
        with old_source(speaking_only(version)) as (address, asked):
            report = await collection.run(source_url=address, **options)
    assert report.totals["failed"] == 1
    # The versions of an application's own session are those of its Python.
    if not with_session or ssl.create_default_context().minimum_version >= ssl.TLSVersion.TLSv1_2:
        assert "does not support TLS 1.2 or later" in report.problems[0].reason
    assert asked == []
    assert collection.sleeps.waits == []


@pytest.mark.parametrize("name", ["another name", "of a stranger", "expired"])
async def test_a_name_must_match_as_an_address_must(collection: Collection, name: str) -> None:
    make, _, what_to_do = BAD[name]
    async with tls_source(make()) as source:
        report = await collection.run(source_url=str(source.base.with_host("localhost")))
        assert source.requests == []
    assert report.totals["failed"] == 1
    assert collection.sleeps.waits == []
    if name != "expired":
        assert what_to_do in report.problems[0].reason


async def test_a_self_signed_certificate_is_refused(collection: Collection, tmp_path: Path) -> None:
    async with tls_source(_of_its_own(tmp_path)) as source:
        report = await collection.run(source_url=str(source.base))
        assert source.requests == []
    assert "self-signed certificate" in report.problems[0].reason
    assert "SSL_CERT_FILE" in report.problems[0].reason
    assert collection.sleeps.waits == []


def _of_its_own(folder: Path) -> ssl.SSLContext:
    """A server that shows an authority's own certificate, which nobody else has signed."""
    (folder / "own.pem").write_bytes(STRANGER.private_key_pem.bytes() + STRANGER.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("processes", [1, 2])
async def test_an_authority_of_ssl_cert_file_is_trusted(
    collection: Collection, host: str, processes: int
) -> None:
    async with tls_source(speaking(AUTHORITY, "127.0.0.1", "localhost")) as source:
        base = str(source.base.with_host(host))
        report = await collection.run(source_url=base, processes=processes)
    assert report.totals["verified"] == 1


async def test_worker_processes_check_certificates_as_well(collection: Collection) -> None:
    async with tls_source(speaking(STRANGER, "127.0.0.1")) as source:
        report = await collection.run(source_url=str(source.base), processes=2)
        assert source.requests == []
    assert "SSL_CERT_FILE" in report.problems[0].reason


async def test_a_redirect_to_a_bad_certificate_is_refused(collection: Collection) -> None:
    async with (
        tls_source(speaking(STRANGER, "127.0.0.1")) as bad,
        tls_source(speaking(AUTHORITY, "127.0.0.1"), str(bad.base)) as source,
    ):
        report = await collection.run(
            source_url=str(source.base), redirect_hosts=[str(bad.base.authority)]
        )
        assert bad.requests == []
        assert len(source.requests) == 1
    assert "SSL_CERT_FILE" in report.problems[0].reason
    assert collection.sleeps.waits == []


async def test_a_listing_with_a_bad_certificate_is_none(collection: Collection) -> None:
    async with tls_source(speaking(STRANGER, "127.0.0.1")) as source:
        with pytest.raises(ListingError, match="SSL_CERT_FILE"):
            await collection.run(discovery="listing", listing_url=str(source.base))
        assert source.requests == []
    assert collection.sleeps.waits == []


async def test_a_source_that_speaks_no_tls_is_not_asked_in_plain_text(
    collection: Collection,
) -> None:
    async with tls_source(None) as source:
        report = await collection.run(
            source_url=str(source.base.with_scheme("https")), timeout_seconds=0.1
        )
        assert source.requests == []
    assert report.totals["failed"] == 1


async def test_a_session_of_the_applications_own_is_refused_as_well(
    collection: Collection,
) -> None:
    async with tls_source(speaking(STRANGER, "127.0.0.1")) as source, aiohttp.ClientSession() as it:
        report = await collection.run(source_url=str(source.base), session=it)
        assert source.requests == []
    assert "SSL_CERT_FILE" in report.problems[0].reason
    assert collection.sleeps.waits == []


# What is said ----------------------------------------------------------------------------------


def refused(code: int) -> ssl.SSLCertVerificationError:
    """A certificate that OpenSSL refuses with this code."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed: some reason")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("code", "advice"),
    [(10, "clock"), (9, "clock"), (18, "SSL_CERT_FILE"), (19, "SSL_CERT_FILE"),
     (62, "use the host name"), (64, "use the host name"), (23, "ask the owner of the source")],
)  # fmt: skip
def test_each_kind_of_certificate_has_its_advice(code: int, advice: str) -> None:
    refusal = tls_refusal("https://me:pw@h/x", refused(code))
    assert refusal is not None
    assert not refusal.transient
    assert advice in str(refusal)
    assert str(refusal).startswith("https://***@h/x: ")


@pytest.mark.parametrize("error", [None, OSError("reset"), ssl.SSLError(1, "bad record mac")])
def test_what_may_be_better_the_next_time_is_no_refusal(error: Any) -> None:
    assert tls_refusal("https://h/x", error) is None
