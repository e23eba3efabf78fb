"""Creates the TLS context; certificates and host names are always checked."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import shown

__all__ = ["tls_context"]

#: What to do about a file, or a directory, without certificates.
_NAME_A_FILE = "name a PEM file of certificate authorities, or unset it to use the system's"
_NAME_A_FOLDER = "name a directory of certificate authorities, or unset it to use the system's"


def tls_context(ca_bundle: str | None, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Create the context for all TLS connections.

    Args:
        ca_bundle: A PEM file with the only trusted authorities. None means those of the system, or
            those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
        environ: The environment variables to check; OpenSSL reads those of the process.

    Raises:
        ConfigurationError: A file or directory has no certificate. OpenSSL would silently ignore
            such a variable, and refuse every source.
    """
    if ca_bundle is not None:
        _check_file("$.ca_bundle", ca_bundle)
    else:
        _check_variables(environ)
    context = ssl.create_default_context(cafile=ca_bundle)
    # Python of some distributions leaves the oldest version to OpenSSL's configuration.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _check_variables(environ: Mapping[str, str]) -> None:
    path = environ.get("SSL_CERT_FILE")
    if path is not None:  # with an empty name OpenSSL trusts no authority
        _check_file("SSL_CERT_FILE", path)
    folders = environ.get("SSL_CERT_DIR")
    if folders and not any(map(os.path.isdir, folders.split(os.pathsep))):
        fault = f"`{shown(folders)}` is not a directory; {_NAME_A_FOLDER}"
        raise ConfigurationError([Problem("SSL_CERT_DIR", fault)])


def _check_file(place: str, path: str) -> None:
    """Refuse a file without a certificate.

    Raises:
        ConfigurationError: The file has no certificate, or cannot be read.
    """
    if fault := _fault(path):
        raise ConfigurationError([Problem(place, f"`{shown(path)}` {fault}; {_NAME_A_FILE}")])


def _fault(path: str) -> str:
    """Return why a file has no valid certificate; empty if it has one."""
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
        return "contains no PEM certificate, or a damaged one"
    return "" if trial.cert_store_stats()["x509"] else "contains no certificate"
