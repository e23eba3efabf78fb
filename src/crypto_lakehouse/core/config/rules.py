"""Rules across keys: unknown keys, outdated keys, and combinations that cannot run."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crypto_lakehouse.core.acknowledged import entry_fault
from crypto_lakehouse.core.config.database_url import database_url_fault, schema_fault
from crypto_lakehouse.core.config.monitoring_settings import textfile_fault
from crypto_lakehouse.core.config.own_folder import own_folder_fault
from crypto_lakehouse.core.config.proxy_settings import NONE, proxy_fault
from crypto_lakehouse.core.config.record_settings import record_urls_faults
from crypto_lakehouse.core.config.storage import is_url, state_directory_fault, store_url_fault
from crypto_lakehouse.core.config.values import DateRange
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.hosts import is_loopback, is_plain_host
from crypto_lakehouse.core.messages import nearest, shown
from crypto_lakehouse.core.redaction import redact

__all__ = [
    "ENVIRONMENT",
    "LAKE_KEYS",
    "OLDER_KEYS",
    "SEE_KEYS",
    "check_combinations",
    "check_unknown_keys",
    "ledger_faults",
    "otlp_endpoint_fault",
    "otlp_faults",
    "scheduler_fault",
    "url_fault",
]

#: The value of `otlp_endpoint` that takes it from the variables of OpenTelemetry.
ENVIRONMENT = "environment"

#: What to do about a key that is near to none.
SEE_KEYS = "`crypto-lakehouse config show` lists all keys, with `--lake` those for tables"

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
    "performance": "see `max_parallel_downloads`",
    "enhanced_features": "there are no feature switches",
    "description": "it is not used",
}


#: Keys of `ingest` and `validate` that a collection does not have. One file may serve all of them.
LAKE_KEYS = (
    "lake", "catalog", "format", "exact", "policies", "workers", "compression", "again",
)  # fmt: skip


def check_unknown_keys(
    given: Mapping[str, Any],
    keys: Iterable[str],
    place: str = "$",
    *,
    older: Mapping[str, str] = OLDER_KEYS,
    others: Collection[str] = (),
) -> tuple[dict[str, Any], list[str], list[Problem]]:
    """Split values into those of known keys, warnings for old keys, and errors.

    Args:
        given: The values.
        keys: The known keys.
        place: What the paths of errors begin with.
        older: Keys that are ignored with a warning, and why.
        others: Keys that may be meant, but do not belong here.
    """
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
            near = nearest(name, [*known, *(each for each in others if each != name)])
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
        *_fill_urls(fields),
        *_record_urls(fields),
        *_output(fields),
        *_ledger(fields),
        *_proxy(fields),
        *_dask(fields),
        *_acknowledged(fields.get("acknowledge", ())),
        *_textfile(fields.get("metrics_textfile")),
        *otlp_faults(fields.get("otlp_endpoint")),
    ]


def _missing_selection(fields: Mapping[str, Any]) -> Iterable[Problem]:
    if fields.get("discovery") == "listing" or fields.get("only") is not None:
        return
    if "symbols" in fields and fields["symbols"] is None:
        filters = _selecting_filters(fields)
        if not filters:
            yield Problem(
                "$.symbols",
                "required, and missing; list the symbols, for example [BTCUSDT], or take all that "
                "are listed with `discovery: listing`",
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


def _fill_urls(fields: Mapping[str, Any]) -> Iterable[Problem]:
    """Find faults of the addresses at which the exchange answers."""
    for market, url in ((fields.get("fill") or {}).get("urls") or {}).items():
        if fault := url_fault(url) or _plain_http_fault(url, fields.get("allow_http")):
            yield Problem(f"$.fill.urls.{market}", fault)


def _record_urls(fields: Mapping[str, Any]) -> Iterable[Problem]:
    """Find faults of the addresses of streams."""
    urls = (fields.get("record") or {}).get("urls") or {}
    for market, fault in record_urls_faults(urls, fields.get("allow_http")):
        yield Problem(f"$.record.urls.{market}", fault)


def _output(fields: Mapping[str, Any]) -> Iterable[Problem]:
    """Find faults of the output's URL, and settings that a local directory does not have."""
    output, storage = fields.get("output_directory"), fields.get("storage") or {}
    if output is None:
        return
    if fault := _place_fault(output):
        yield Problem("$.output_directory", fault)
    names = sorted(storage.keys() & {"account", "endpoint"})
    if names and not is_url(output):
        reason = f"only for an output in an object store; `{shown(output)}` is a directory"
        yield Problem(f"$.storage.{names[0]}", reason)
    if fault := state_directory_fault(fields.get("state_directory")):
        yield Problem("$.state_directory", fault)
    endpoint = storage.get("endpoint")
    if endpoint is not None:
        allow_http = fields.get("allow_http")
        if fault := url_fault(endpoint) or _plain_http_fault(endpoint, allow_http):
            yield Problem("$.storage.endpoint", fault)


def _place_fault(output: str) -> str | None:
    """Find a fault of a place; that of a lake is checked by these rules, too."""
    if is_url(output):
        return store_url_fault(output) or own_folder_fault(output, is_lake=True)
    directory = Path(os.path.expanduser(output)).absolute()  # noqa: PTH111 - keeps `./~`
    return own_folder_fault(str(directory), is_lake=True)


def _ledger(fields: Mapping[str, Any]) -> Iterable[Problem]:
    return ledger_faults(fields.get("ledger"), fields.get("ledger_schema"))


def ledger_faults(url: str | None, schema: str | None) -> Iterable[Problem]:
    """Yield what is wrong with the URL of a ledger's database, and with the name of its schema."""
    if url is not None and (fault := database_url_fault(url)):
        yield Problem("$.ledger", fault)
    if schema is not None and (fault := schema_fault(schema)):
        yield Problem("$.ledger_schema", fault)


def _proxy(fields: Mapping[str, Any]) -> Iterable[Problem]:
    if fault := proxy_fault(fields.get("proxy", NONE)):
        yield Problem("$.proxy", fault)


def _dask(fields: Mapping[str, Any]) -> Iterable[Problem]:
    """Find an address that is none, and an output that the workers of a cluster do not see."""
    scheduler = fields.get("dask_scheduler")
    if scheduler is None:
        return
    if fault := scheduler_fault(scheduler):
        yield Problem("$.dask_scheduler", fault)
    if fields.get("executor") != "dask":
        return
    output = fields.get("output_directory")
    if output is not None and not is_url(output) and fields.get("shared_directory") is False:
        reason = (
            f"`{shown(output)}` is a directory of this machine, which the workers of a cluster do "
            "not see; use an object store, or set `shared_directory: true` if all of them mount it"
        )
        yield Problem("$.output_directory", reason)


def scheduler_fault(address: str) -> str | None:
    """Return why a text is not the address of a scheduler; None if it is one."""
    try:
        parts = urlsplit(address)
        is_address = parts.hostname is not None and parts.port is not None
    except ValueError:
        is_address = False
    if not is_address or parts.scheme not in {"tcp", "tls"} or "@" in parts.netloc:
        return f"`{shown(redact(address))}` is not an address; write it as tcp://host:8786"
    return None


def _acknowledged(entries: Iterable[str]) -> Iterable[Problem]:
    for entry in entries:
        if fault := entry_fault(entry):
            yield Problem("$.acknowledge", fault)


def _textfile(path: str | None) -> Iterable[Problem]:
    if fault := textfile_fault(path):
        yield Problem("$.metrics_textfile", fault)


def otlp_faults(endpoint: str | None) -> Iterable[Problem]:
    """Yield what is wrong with the receiver of telemetry."""
    if endpoint not in {None, ENVIRONMENT} and (fault := otlp_endpoint_fault(str(endpoint))):
        yield Problem("$.otlp_endpoint", fault)


def otlp_endpoint_fault(url: str) -> str | None:
    """Return why a text is not the URL of a receiver of telemetry; None if it is one."""
    if fault := url_fault(url):
        return f"{fault}; name a receiver such as http://127.0.0.1:4318, or `{ENVIRONMENT}`"
    if "@" in urlsplit(url).netloc:
        return "must not have credentials; they belong into OTEL_EXPORTER_OTLP_HEADERS"
    return None


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
