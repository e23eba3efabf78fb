"""Whose certificates are trusted, and what is said where that cannot be known."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.http.tls import tls_context

AUTHORITY, STRANGER = trustme.CA(), trustme.CA()
PEM = AUTHORITY.cert_pem.bytes()


def trusted(context: ssl.SSLContext) -> list[bytes]:
    """The certificates that a context trusts."""
    return context.get_ca_certs(binary_form=True)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A file that holds an authority's certificate."""
    path = tmp_path / "ca.pem"
    path.write_bytes(PEM)
    return path


def test_certificates_and_names_are_checked_and_http_1_1_is_spoken() -> None:
    context = tls_context(None, {})
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("of_the_system", "spoken"),
    [
        (ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_2),
        (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
    ],
)
def test_the_oldest_version_is_1_2_whatever_python_was_built_with(
    monkeypatch: pytest.MonkeyPatch, of_the_system: ssl.TLSVersion, spoken: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context()
    context.minimum_version = of_the_system
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: context)
    assert tls_context(None, {}).minimum_version is spoken


def test_a_bundle_is_trusted_and_nothing_else(bundle: Path) -> None:
    context = tls_context(str(bundle), {})
    assert trusted(context) == [ssl.PEM_cert_to_DER_cert(PEM.decode())]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_bundle_wins_over_the_environment(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(STRANGER.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    assert trusted(tls_context(str(bundle), {"SSL_CERT_FILE": str(other)})) == [
        ssl.PEM_cert_to_DER_cert(PEM.decode())
    ]
    nothing = {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"}
    assert trusted(tls_context(str(bundle), nothing)), "variables that do not count are not read"


def test_the_environment_is_trusted_where_there_is_no_bundle(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    context = tls_context(None, {"SSL_CERT_FILE": str(bundle)})
    assert ssl.PEM_cert_to_DER_cert(PEM.decode()) in trusted(context)


#: What a file may be instead of certificates: how it is made, and what is said.
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (str, "cannot be read: No such file or directory"),
    "a directory": (Path.mkdir, "is a directory"),
    "a loop of links": (lambda path: path.symlink_to(path), "cannot be read: Too many levels"),
    "empty": (Path.touch, "is empty"),
    "blank": (lambda path: path.write_text(" \n"), "is empty"),
    "text": (lambda path: path.write_text("no certificate"), "contains no PEM certificate"),
    "another form": (
        lambda path: path.write_bytes(ssl.PEM_cert_to_DER_cert(PEM.decode())),
        "contains no PEM certificate",
    ),
    "a key": (
        lambda path: path.write_bytes(AUTHORITY.private_key_pem.bytes()),
        "contains no PEM certificate",
    ),
    "cut off": (lambda path: path.write_bytes(PEM[:200]), "or a damaged one"),
    "damaged after a good one": (
        lambda path: path.write_bytes(PEM + PEM.replace(b"A", b"!")),
        "or a damaged one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_file_without_certificates_is_named(tmp_path: Path, name: str) -> None:
    make, why = BAD[name]
    path = tmp_path / "folder" / "ca.pem"
    path.parent.mkdir()
    make(path)
    for bundle, environ, place in (
        (str(path), {}, "$.ca_bundle"),
        (None, {"SSL_CERT_FILE": str(path)}, "SSL_CERT_FILE"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            tls_context(bundle, environ)
        (problem,) = refused.value.problems
        assert problem.path == place
        assert why in problem.message
        assert "name a PEM file of certificate authorities" in problem.message


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: embedded null byte"):
        tls_context("ca\0.pem", {})


def test_a_list_of_revoked_certificates_holds_none(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl.SSLContext, "cert_store_stats", lambda _: {"x509": 0, "crl": 1})
    with pytest.raises(ConfigurationError, match="contains no certificate;"):
        tls_context(str(bundle), {})


def test_an_empty_directory_variable_counts_as_unset() -> None:
    assert tls_context(None, {"SSL_CERT_DIR": ""})


def test_an_empty_name_of_a_file_is_refused() -> None:
    """OpenSSL takes it for a file, and trusts no authority."""
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        tls_context(None, {"SSL_CERT_FILE": ""})


def test_a_folder_of_certificates_must_be_there(tmp_path: Path, bundle: Path) -> None:
    good = f"{tmp_path / 'none'}:{tmp_path}"
    assert tls_context(None, {"SSL_CERT_DIR": good})
    for bad in (str(tmp_path / "none"), str(bundle)):
        with pytest.raises(ConfigurationError) as refused:
            tls_context(None, {"SSL_CERT_DIR": bad})
        (problem,) = refused.value.problems
        assert problem.path == "SSL_CERT_DIR"
        assert problem.message.startswith(f"`{shown(bad)}` is not a directory; name")
