"""Open the object store that a URL and its settings name.

Requests go to the endpoint of the store and, for credentials, to what the environment or the
platform names; no configuration has a secret. Errors are raised by the first request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import evolve, frozen

from crypto_lakehouse.core.config.proxy_settings import ENVIRONMENT, NONE
from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import ConfigurationError, ExtraMissing, Problem
from crypto_lakehouse.core.redaction import redact_environment
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.credentials import credential_settings
from crypto_lakehouse.stores.objects.listings import LONGEST_PAGE_S
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.version import __version__

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig

__all__ = ["Connection", "impatient", "open_objects"]

#: What the client does on its own about failures, before the archive or the run gives up.
_RETRIES: Any = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}

#: How long one request may take, a large body included.
_LONGEST_REQUEST = timedelta(hours=2)


@frozen
class Connection:
    """How an object store is connected to.

    Attributes:
        proxy: As in the configuration.
        ca_bundle: The PEM file of the trusted certificates; None for those of the system.
        timeout_s: How long a request may be without progress.
        credentials: The variables that have the credentials, by the names of those that they
            replace; None for what the environment and the platform have.
    """

    proxy: str = ENVIRONMENT
    ca_bundle: str | None = None
    timeout_s: float = 300.0
    credentials: Mapping[str, str] | None = None

    @classmethod
    def of(cls, config: WorkflowConfig) -> Connection:
        """Return what a configuration says."""
        return cls(config.proxy, config.ca_bundle, config.timeout_seconds, config.credentials)


def open_objects(
    url: StoreUrl, options: Mapping[str, Any] | None = None, connection: Connection | None = None
) -> ObjectStore:
    """Open a prefix of an object store; no request is made.

    Args:
        url: The prefix.
        options: The `storage` of the configuration.
        connection: How the store is connected to.

    Raises:
        ExtraMissing: The extra `stores` is not installed.
        ConfigurationError: The settings do not fit together, or a setting or a variable is missing.
    """
    try:
        from obstore.exceptions import BaseError
    except ImportError:
        reason = f"`{url}` is in an object store, which needs obstore"
        raise ExtraMissing("stores", reason) from None
    given = dict(options or {})
    connection = connection or Connection()
    client_options = _client_options(given.get("endpoint"), connection)
    credentials = credential_settings(url.scheme, connection.credentials)
    try:
        client = _open(url, given, client_options, credentials)
    except (BaseError, ValueError) as error:
        reason = f"`{url}` cannot be opened: {redact_environment(str(error).splitlines()[0])}"
        raise ConfigurationError([Problem("$.storage", reason)]) from None
    longest_page_s = max(LONGEST_PAGE_S, 2 * connection.timeout_s)
    return ObjectStore(ObjectClient(client, str(url), longest_page_s))


def _client_options(endpoint: str | None, connection: Connection) -> dict[str, Any]:
    """Return the options of the HTTP client. TLS is only left if the endpoint names http."""
    options: dict[str, Any] = {
        "allow_http": endpoint is not None and urlsplit(endpoint).scheme == "http",
        "allow_invalid_certificates": False,
        "connect_timeout": timedelta(seconds=min(30.0, connection.timeout_s)),
        "read_timeout": timedelta(seconds=connection.timeout_s),
        "timeout": _LONGEST_REQUEST,
        "user_agent": f"crypto-lakehouse/{__version__}",
    }
    if connection.ca_bundle is not None:
        with open(connection.ca_bundle, encoding="utf-8") as file:  # noqa: PTH123 - as elsewhere
            options["root_certificate"] = file.read()
    if connection.proxy == NONE:  # a proxy that is never used, or the variables would count
        options |= {"proxy_url": "http://127.0.0.1:1", "proxy_excludes": "*"}
    elif connection.proxy != ENVIRONMENT:
        options["proxy_url"] = connection.proxy
    return options


def _open(
    url: StoreUrl, options: Mapping[str, Any], client_options: Any, credentials: dict[str, Any]
) -> Client:
    from obstore.store import AzureStore, GCSStore, S3Store

    kinds: Any = {"s3": (S3Store, _s3), "gs": (GCSStore, _gcs), "az": (AzureStore, _azure)}
    kind, settings = kinds[url.scheme]
    client: Client = kind(
        url.bucket,
        prefix=url.prefix or None,
        client_options=client_options,
        retry_config=_RETRIES,
        **settings(options),
        **credentials,
    )
    return client


def _s3(options: Mapping[str, Any]) -> dict[str, Any]:
    endpoint = options.get("endpoint")
    settings: dict[str, Any] = {
        "virtual_hosted_style_request": options.get("virtual_hosted_style", endpoint is None),
        "checksum_algorithm": "SHA256",
    }
    if endpoint is not None:
        settings["endpoint"] = endpoint
    region = options.get("region") or (endpoint and _region_of_environment())
    if region:
        settings["region"] = region
    return settings


def _region_of_environment() -> str:
    """Return a region for a store other than Amazon's, which all take one and most ignore it."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _gcs(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"base_url": options["endpoint"]} if "endpoint" in options else {}


def _azure(options: Mapping[str, Any]) -> dict[str, Any]:
    names = {"account": "account_name", "endpoint": "endpoint"}
    return {name: options[key] for key, name in names.items() if key in options}


def impatient(client: ObjectClient, seconds: float) -> ObjectClient:
    """Return a client of the same prefix that gives each request so much time.

    Args:
        client: A client; one of a store in memory is returned as it is.
        seconds: The limit of a request, and of its repetitions.
    """
    store: Any = client.client
    if not hasattr(store, "client_options"):
        return client
    limit = timedelta(seconds=seconds)
    limits = dict.fromkeys(("timeout", "connect_timeout", "read_timeout"), limit)
    given = getattr(store, "credential_provider", None)
    copy: Any = type(store)(
        prefix=store.prefix,
        config=store.config,
        **({} if given is None else {"credential_provider": given}),
        client_options={**(store.client_options or {}), **limits},
        retry_config={**(store.retry_config or {}), "max_retries": 1, "retry_timeout": limit},
    )
    return evolve(client, client=copy)
