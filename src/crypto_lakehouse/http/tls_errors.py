"""What to say of a source whose TLS is refused, and what to do about it."""

from __future__ import annotations

import ssl

from crypto_lakehouse.core.errors import TlsRefused

__all__ = ["tls_refusal"]

#: Verify codes of OpenSSL (x509_vfy.h), and what to do about each.
_OUT_OF_TIME = frozenset({9, 10, 11, 12})
_NOT_TRUSTED = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})

#: What OpenSSL says where a source speaks no version of TLS that is safe.
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"})


def tls_refusal(url: str, error: BaseException | None) -> TlsRefused | None:
    """Make the error for a certificate or a version of TLS that is refused.

    Returns:
        None where the error is another one; trying again may help then.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsRefused(url, f"{_said(error)}; {_what_to_do(error.verify_code)}")
    if isinstance(error, ssl.SSLError) and getattr(error, "reason", None) in _TOO_OLD:
        return TlsRefused(
            url,
            f"{_said(error)}; the source speaks no TLS 1.2 or later, and older versions are "
            "refused: ask its owner, or name another source",
        )
    return None


def _what_to_do(verify_code: int) -> str:
    if verify_code in _OUT_OF_TIME:
        return "check this machine's clock; where that is right, the source must renew it"
    if verify_code in _NOT_TRUSTED:
        return (
            "where you trust its issuer, name a file with the issuer's certificate as "
            "`ca_bundle`, or in the environment variable SSL_CERT_FILE"
        )
    if verify_code in _OTHER_NAME:
        return "name the host in the URL as its certificate does"
    return "ask the source's owner, or name another source"


def _said(error: ssl.SSLError) -> str:
    return " ".join(str(error).split())
