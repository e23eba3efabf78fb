"""Where the output is: a local directory, or a prefix in an object store.

`s3://bucket/prefix` is Amazon S3, or with `storage: {endpoint: ...}` another store with its
interface (R2, MinIO, Ceph). `gs://bucket/prefix` is Google Cloud Storage, `az://container/prefix`
Azure Blob Storage. Credentials are never part of a configuration: they come from the environment,
or from the platform (an instance's role, a workload's identity).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import frozen

from crypto_lakehouse.core.messages import nearest, shown

__all__ = [
    "STORAGE_KEYS",
    "StoreUrl",
    "is_url",
    "state_directory_fault",
    "storage_options",
    "store_identity",
    "store_url_fault",
]

#: The schemes of object stores.
_SCHEMES = {"s3": "Amazon S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}", re.IGNORECASE)

#: The keys of `storage`, and the type of each.
STORAGE_KEYS: dict[str, type] = {
    "endpoint": str,
    "region": str,
    "virtual_hosted_style": bool,
    "account": str,
}

_SECRETS = re.compile(r"key|secret|token|password|credential|sas", re.IGNORECASE)


def is_url(output: str | None) -> bool:
    """Whether an output is a URL, not a local directory; None is an output that is not valid."""
    return output is not None and _URL.match(output) is not None


@frozen
class StoreUrl:
    """A prefix in an object store.

    Attributes:
        scheme: `s3`, `gs` or `az`.
        bucket: The bucket; with Azure, the container.
        prefix: The key prefix without slashes at its ends; may be empty.
    """

    scheme: str
    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> StoreUrl:
        """Parse a URL that `store_url_fault` accepts."""
        parts = urlsplit(url)
        return cls(parts.scheme.lower(), parts.netloc, parts.path.strip("/"))

    def __str__(self) -> str:
        """The URL in its one form, without a slash at the end."""
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def store_identity(url: StoreUrl, storage: Mapping[str, Any] | None) -> str:
    """Return a text that identifies a prefix, also among stores in which its URL is the same.

    It is the URL, followed by the endpoint and the account if `storage` has them. The region does
    not count, nor how the address of the endpoint is written.

    Args:
        url: The prefix.
        storage: The `storage` of the configuration.
    """
    known = storage or {}
    identity = str(url)
    if "endpoint" in known:
        identity += f" endpoint={_plain_address(str(known['endpoint']))}"
    if "account" in known:
        identity += f" account={known['account']}"
    return identity


def _plain_address(url: str) -> str:
    """Return a URL without user info and slashes at its end, its host in lower case."""
    scheme, mark, rest = url.strip().rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{mark}{host.rpartition('@')[2].lower()}{slash}{path}"


def store_url_fault(url: str) -> str | None:
    """Return why a text is not the URL of a prefix in an object store; None if it is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "not a URL; write s3://bucket/prefix"
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}:// ({store})" for name, store in _SCHEMES.items())
        return f"`{shown(scheme)}://` is not supported; use {known}, or a local directory"
    if "@" in parts.netloc:
        return "must not contain credentials; they come from the environment"
    if parts.query or parts.fragment:
        return "must not have a query or a fragment; other settings belong in `storage`"
    if not _BUCKET.fullmatch(parts.netloc):
        return (
            f"`{shown(parts.netloc)}` is not the name of a bucket; write {scheme}://bucket/prefix"
        )
    if not _is_plain_path(parts.path):
        return f"`{shown(parts.path)}` is not a key prefix; it must not contain `//`, `.` or `..`"
    return None


def state_directory_fault(directory: str | None) -> str | None:
    """Return why a text is not the folder of a ledger and of locks; None if it may be."""
    if not is_url(directory):
        return None
    return "must be a local directory, not a URL; the ledger is copied to the object store itself"


def _path_of(url: str) -> str:
    """Return the path of a URL that need not be valid otherwise."""
    _, slash, path = url.partition("://")[2].partition("/")
    return slash + path


def _is_plain_path(path: str) -> bool:
    """Whether every part of a URL's path is a name; slashes at its end do not count.

    Else the client would send its requests elsewhere than the URL says.
    """
    below = path.removeprefix("/").rstrip("/")
    return not below or not any(_leaves_prefix(unquote(name)) for name in below.split("/"))


def _leaves_prefix(name: str) -> bool:
    """Whether a name is none on a path; a server may decode what is encoded in it."""
    return name in {"", ".", ".."} or "\\" in name or "/" in name


def storage_options(value: object) -> dict[str, Any]:
    """Return the settings of an object store.

    Raises:
        TypeError: It is no mapping, or a value has another type.
        ValueError: A key is unknown, or would hold a secret.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a mapping, such as {{endpoint: URL}}, not `{shown(value)}`")
    options = {}
    for name, item in value.items():
        if name not in STORAGE_KEYS:
            raise ValueError(_unknown(str(name)))
        kind = STORAGE_KEYS[name]
        if type(item) is not kind or not str(item).strip():
            word = "text" if kind is str else "true or false"
            raise TypeError(f"`{name}` must be {word}, not `{shown(item)}`")
        if name == "endpoint" and not _is_plain_path(_path_of(str(item))):
            raise ValueError(
                "the path of `endpoint` must not contain `//`, `.` or `..`; write it as "
                "https://host/path"
            )
        options[name] = item
    return options


def _unknown(name: str) -> str:
    if _SECRETS.search(name):
        return (
            f"`{shown(name)}` must not be configured: secrets come from the environment "
            "(AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY and "
            "others), or from the platform"
        )
    near = nearest(name, STORAGE_KEYS)
    hint = f"did you mean `{near}`?" if near else "keys: " + ", ".join(STORAGE_KEYS)
    return f"unknown key `{shown(name)}`; {hint}"
