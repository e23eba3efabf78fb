"""The credentials of an object store that a configuration names the variables of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from crypto_lakehouse.core.config.credential_names import missing_variables
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.redaction import hide_variables

__all__ = ["credential_settings"]


@frozen
class _Provider:
    """Returns the same credentials whenever the client asks; its text has none."""

    values: Mapping[str, Any] = field(repr=False)

    def __call__(self) -> dict[str, Any]:
        return {**self.values, "expires_at": None}


def credential_settings(scheme: str, names: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the settings of a client; nothing if no variable is named for its kind of store.

    They take the place of what the environment and the platform have for all others; nothing is
    mixed, as a token of one account with the key of another.

    Args:
        scheme: `s3`, `gs` or `az`.
        names: The variables that are read, by the names of those that they replace.

    Raises:
        ConfigurationError: A variable is not set.
    """
    wanted = {name: names[name] for name in _OF_SCHEME[scheme] if names and name in names}
    if problems := [*missing_variables(wanted, os.environ)]:
        raise ConfigurationError(problems)
    if not wanted:
        return {}
    found = {_OF_SCHEME[scheme][name]: os.environ[variable] for name, variable in wanted.items()}
    if scheme == "gs":
        return found
    hide_variables(wanted.values())
    if scheme == "az":  # one of the two; a signature is for less
        key = "sas_token" if "sas_token" in found else "access_key"
        return {"credential_provider": _Provider({key: found[key]})}
    return {"credential_provider": _Provider({"token": None, **found})}


#: What the client calls what each variable has.
_OF_SCHEME: Mapping[str, Mapping[str, str]] = {
    "s3": {
        "AWS_ACCESS_KEY_ID": "access_key_id",
        "AWS_SECRET_ACCESS_KEY": "secret_access_key",
        "AWS_SESSION_TOKEN": "token",
    },
    "az": {
        "AZURE_STORAGE_ACCOUNT_KEY": "access_key",
        "AZURE_STORAGE_SAS_KEY": "sas_token",
    },
    "gs": {"GOOGLE_APPLICATION_CREDENTIALS": "application_credentials"},
}
