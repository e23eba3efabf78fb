"""Explains TLS failures, and what to do about them."""

from __future__ import annotations

import ssl

from crypto_lakehouse.core.errors import TlsRefused

__all__ = ["tls_refusal"]

#: Verify codes of OpenSSL (x509_vfy.h), and what to do about each.
_OUT_OF_TIME = frozenset({9, 10, 11, 12})
_NOT_TRUSTED = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})

#: OpenSSL's reasons if a source supports no safe version of TLS.
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"})


def tls_refusal(url: str, error: BaseException | None) -> TlsRefused | None:
    """Return the error for a refused certificate or TLS version.

    Returns:
        None if the cause is another one, so that a retry may help.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsRefused(url, f"{_said(error)}; {_what_to_do(error.verify_code)}")
    if isinstance(error, ssl.SSLError) and getattr(error, "reason", None) in _TOO_OLD:
        return TlsRefused(
            url,
            f"{_said(error)}; the source does not support TLS 1.2 or later, and older versions "
            "are refused: ask its owner, or use another source",
        )
    return None


def _what_to_do(verify_code: int) -> str:
    if verify_code in _OUT_OF_TIME:
        return "check this machine's clock; if it is right, the source must renew its certificate"
    if verify_code in _NOT_TRUSTED:
        return (
            "if you trust the issuer, set `ca_bundle` to a file with the issuer's certificate, "
            " or the environment variable SSL_CERT_FILE"
        )
    if verify_code in _OTHER_NAME:
        return "use the host name of the certificate in the URL"
    return "ask the owner of the source, or use another source"


def _said(error: ssl.SSLError) -> str:
    return " ".join(str(error).split())
