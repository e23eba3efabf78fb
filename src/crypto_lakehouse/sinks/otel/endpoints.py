"""Where telemetry is sent: what the configuration and the variables of OpenTelemetry say.

The SDK has a default, localhost:4318, to which nothing is sent here: a host is named, or is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from crypto_lakehouse.core.config.rules import ENVIRONMENT, otlp_endpoint_fault
from crypto_lakehouse.core.hosts import is_loopback
from crypto_lakehouse.core.messages import shown

__all__ = ["SIGNALS", "endpoint_faults", "endpoints"]

SIGNALS = ("metrics", "traces")

_PREFIX = "OTEL_EXPORTER_OTLP_"
_FILES = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")

#: An entry of headers that the SDK takes; it would log any other one, with its secret.
_HEADER = re.compile(r"""\s*[^\s"(),/:;<=>?@[\]{}\\]+\s*=([^",;\\]+)""", re.ASCII)


def endpoints(endpoint: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the URL for each signal that is sent, `metrics` or `traces`.

    Args:
        endpoint: The base URL, or `environment` for what the variables say.
        environ: The variables.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return {}
    found = {}
    for signal in SIGNALS:
        url = f"{endpoint.rstrip('/')}/v1/{signal}"
        if endpoint == ENVIRONMENT:
            base = environ.get(f"{_PREFIX}ENDPOINT", "").rstrip("/")
            own = environ.get(f"{_PREFIX}{signal.upper()}_ENDPOINT", "")
            url = own or (f"{base}/v1/{signal}" if base else "")
        if url and environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() != "none":
            found[signal] = url
    return found


def endpoint_faults(endpoint: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield why nothing can be sent as the variables say; no text has the value of a header."""
    found = endpoints(endpoint, environ)
    is_wanted = bool(endpoints("http://localhost", environ))
    if endpoint == ENVIRONMENT and is_wanted and not found:
        yield f"`{_PREFIX}ENDPOINT` is not set; set it, or name a URL"
    for signal, url in found.items():
        if endpoint == ENVIRONMENT and (fault := otlp_endpoint_fault(url)):
            yield f"the endpoint of {signal} in the environment {fault}"
        yield from _faults(signal, url, environ)


def _faults(signal: str, url: str, environ: Mapping[str, str]) -> Iterator[str]:
    protocol = _of(environ, signal, "PROTOCOL")
    if protocol and protocol != "http/protobuf":
        yield f"`{_PREFIX}PROTOCOL` is `{shown(protocol)}`; only `http/protobuf` is spoken"
    headers = [each for each in _of(environ, signal, "HEADERS").split(",") if each.strip()]
    if not all(map(_is_header, headers)):
        yield f"`{_PREFIX}HEADERS` has an entry that is not NAME=VALUE in printable ASCII"
    if headers and _is_plain(url):
        yield f"`{_PREFIX}HEADERS` would be sent without encryption; write https:// for {signal}"
    for name in _FILES:
        path = _of(environ, signal, name)
        if path and not Path(path).is_file():
            yield f"the file of `{_PREFIX}{name}` does not exist: `{shown(path)}`"


def _of(environ: Mapping[str, str], signal: str, name: str) -> str:
    """The variable of a signal, else that of all; empty if there is none."""
    return environ.get(f"{_PREFIX}{signal.upper()}_{name}") or environ.get(f"{_PREFIX}{name}", "")


def _is_header(entry: str) -> bool:
    found = _HEADER.fullmatch(entry)
    value = "" if found is None else unquote(found[1])
    return f"{entry}{value}".isascii() and value.isprintable() and bool(value.strip())


def _is_plain(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False  # it is a fault anyway
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
