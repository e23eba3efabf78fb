"""How TLS is spoken: certificates and host names are always checked, against whom is said here."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import shown

__all__ = ["tls_context"]

#: What is to be done about a file that brings no certificates; and about a folder of them.
_NAME_A_FILE = "name a PEM file of certificate authorities, or leave it out for the system's"
_NAME_A_FOLDER = "name a directory of certificate authorities, or leave it out for the system's"


def tls_context(ca_bundle: str | None, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Make the context that every connection with TLS is opened with.

    Args:
        ca_bundle: A PEM file of the authorities that are trusted, and no others. None is the
            system's, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
        environ: The process's variables. They are checked here; OpenSSL reads its own.

    Raises:
        ConfigurationError: What is named brings no certificate; OpenSSL would say nothing of a
            variable that leads nowhere, and every source would be refused.
    """
    if ca_bundle is not None:
        _check_file("$.ca_bundle", ca_bundle)
    else:
        _check_variables(environ)
    context = ssl.create_default_context(cafile=ca_bundle)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _check_variables(environ: Mapping[str, str]) -> None:
    path = environ.get("SSL_CERT_FILE")
    if (
        path is not None
    ):  # OpenSSL takes an empty name for a file, too, and trusts no authority then
        _check_file("SSL_CERT_FILE", path)
    folders = environ.get("SSL_CERT_DIR")
    if folders and not any(map(os.path.isdir, folders.split(os.pathsep))):
        fault = f"`{shown(folders)}` is no directory; {_NAME_A_FOLDER}"
        raise ConfigurationError([Problem("SSL_CERT_DIR", fault)])


def _check_file(place: str, path: str) -> None:
    """Refuse a file that brings no certificate.

    Raises:
        ConfigurationError: It does not, or it cannot be read.
    """
    if fault := _fault(path):
        raise ConfigurationError([Problem(place, f"`{shown(path)}` {fault}; {_NAME_A_FILE}")])


def _fault(path: str) -> str:
    """Say why a file brings no certificate; empty where it does."""
    try:
        text = Path(path).read_bytes()
    except IsADirectoryError:
        return "is a directory"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if not text.strip():
        return "is empty"
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        trial.load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "holds no certificate in PEM, or one that is damaged"
    return "" if trial.cert_store_stats()["x509"] else "holds no certificate"
