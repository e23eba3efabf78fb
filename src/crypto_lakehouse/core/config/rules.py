"""Rules across keys: unknown keys, outdated keys, and combinations that cannot run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from crypto_lakehouse.core.acknowledged import entry_fault
from crypto_lakehouse.core.config.proxy_settings import NONE, proxy_fault
from crypto_lakehouse.core.config.values import DateRange
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.hosts import is_loopback, is_plain_host
from crypto_lakehouse.core.messages import nearest, shown

__all__ = ["SEE_KEYS", "check_combinations", "check_unknown_keys", "url_fault"]

#: What to do about a key that is near to none.
SEE_KEYS = "`crypto-lakehouse config show` lists all keys, with `--lake` those for tables"

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

#: Keys of the older collection workflow, and why each is ignored
#: (docs/archive-older-formats.md#configuration-keys).
OLDER_KEYS = {
    "batch_size": "archives are processed one by one, not in batches",
    "part_size_mb": "large bodies are streamed, not cut into parts",
    "s5cmd_extra_args": "no external program is run",
    "enable_batch_mode": "there are no batches",
    "enable_resume": "every run resumes",
    "skip_existing": "verified archives are never fetched again; see `force_redownload`",
    "retry_failed": "a second run fetches what failed",
    "enable_monitoring": "metrics are always collected",
    "use_cloud_storage": "see `output_directory`",
    "local_data_dir": "see `output_directory`",
    "retry_attempts": "see `max_retries`",
    "retry_delay_seconds": "the back-off is exponential with jitter; see `max_retries`",
    "logging": "the application or the command line configures logging",
    "storage": "archives are stored as published",
    "performance": "see `max_parallel_downloads`",
    "enhanced_features": "there are no feature switches",
    "description": "it is not used",
}


def check_unknown_keys(
    given: Mapping[str, Any],
    keys: Iterable[str],
    place: str = "$",
    *,
    older: Mapping[str, str] = OLDER_KEYS,
) -> tuple[dict[str, Any], list[str], list[Problem]]:
    """Split values into those of known keys, warnings for old keys, and errors."""
    known = list(keys)
    values: dict[str, Any] = {}
    notes: list[str] = []
    problems: list[Problem] = []
    for name, value in given.items():
        if name in known:
            values[name] = value
        elif name in older:
            notes.append(f"`{name}` is a key of the older workflow and is ignored: "
                         f"{older[name]}")  # fmt: skip
        else:
            near = nearest(name, known)
            hint = f"did you mean `{near}`?" if near else SEE_KEYS
            problems.append(Problem(f"{place}.{shown(name)}", f"unknown key; {hint}"))
    return values, notes, problems


def check_combinations(fields: Mapping[str, Any]) -> list[Problem]:
    """Find errors that involve more than one key.

    Args:
        fields: The valid values. Keys with an error are absent, and not checked again.
    """
    return [
        *_missing_selection(fields),
        *_reversed_range(fields.get("date_range")),
        *_foreign_markets(fields),
        *_urls(fields),
        *_proxy(fields),
        *_acknowledged(fields.get("acknowledge", ())),
    ]


def _missing_selection(fields: Mapping[str, Any]) -> Iterable[Problem]:
    if fields.get("discovery") == "listing" or fields.get("only") is not None:
        return
    if "symbols" in fields and fields["symbols"] is None:
        filters = _selecting_filters(fields)
        if not filters:
            yield Problem(
                "$.symbols", "required, and missing; list the symbols, for example [BTCUSDT]"
            )
        elif fields.get("discovery") == "calendar":
            reason = (
                f"required with `discovery: calendar`; only a listing names the symbols that fit "
                f"`{filters[0]}`"
            )
            yield Problem("$.symbols", reason)
    dates = ("date_range", "default_date")
    if all(name in fields and fields[name] is None for name in dates):
        missing = "one of `date_range` (start, end) and `default_date` is required"
        yield Problem("$.date_range", missing)


def _selecting_filters(fields: Mapping[str, Any]) -> list[str]:
    """The filters that choose symbols on their own, so that no symbol need be named."""
    words = [name for name in ("leveraged_tokens", "stable_pairs") if fields.get(name) == "only"]
    return [name for name in ("quote_assets", "contracts") if fields.get(name)] + words


def _reversed_range(date_range: DateRange | None) -> Iterable[Problem]:
    if date_range is None or date_range.end is None:
        return
    if date_range.start > date_range.end:
        yield Problem(
            "$.date_range", f"start {date_range.start} is after end {date_range.end}; swap them"
        )


def _foreign_markets(fields: Mapping[str, Any]) -> Iterable[Problem]:
    """Find symbols of a market, or intervals of a data type, that the run does not collect."""
    for name, selector in (("symbols", "markets"), ("intervals", "data_types")):
        chosen = fields.get(selector)
        if chosen is None or not isinstance(fields.get(name), Mapping):
            continue
        for key in fields[name]:
            if key not in chosen:
                yield Problem(f"$.{name}.{key}", f"`{key}` is not among `{selector}`")


def _urls(fields: Mapping[str, Any]) -> Iterable[Problem]:
    for name in ("source_url", "second_source_url", "listing_url"):
        url = fields.get(name)
        if url is None:
            continue
        if fault := url_fault(url) or _plain_http_fault(url, fields.get("allow_http")):
            yield Problem(f"$.{name}", fault)
    if scheme := _SCHEME.match(fields.get("output_directory", "")):
        yield Problem(
            "$.output_directory", f"`{scheme[0]}` is not supported; use a local directory"
        )


def _proxy(fields: Mapping[str, Any]) -> Iterable[Problem]:
    if fault := proxy_fault(fields.get("proxy", NONE)):
        yield Problem("$.proxy", fault)


def _acknowledged(entries: Iterable[str]) -> Iterable[Problem]:
    for entry in entries:
        if fault := entry_fault(entry):
            yield Problem("$.acknowledge", fault)


def _plain_http_fault(url: str, allow_http: bool | None) -> str | None:
    """Return why a plain http URL is refused; None if it is allowed or cannot be decided."""
    parts = urlsplit(url)
    if parts.scheme != "http" or allow_http is not False or is_loopback(parts.hostname or ""):
        return None
    host = shown(parts.hostname)
    return (
        f"`http` to `{host}` would be neither encrypted nor authenticated; write https://, or set "
        "`allow_http: true` if you trust every network in between"
    )


def url_fault(url: str) -> str | None:
    """Return why a text is not a valid source URL; None if it is. Also used for matrix files."""
    if any(character.isspace() for character in url):
        return "must not contain spaces"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:  # the text of the error quotes user information
        return "not a URL; must be an absolute http:// or https:// URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "must be an absolute http:// or https:// URL"
    if not is_plain_host(parts.netloc, host):
        return "the host name is not valid; write non-ASCII names in punycode (xn--...)"
    if parts.query or parts.fragment:
        return "must not have a query or a fragment"
    return None
