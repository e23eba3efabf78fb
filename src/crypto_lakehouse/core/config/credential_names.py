"""`credentials`: which environment variables have the credentials of a configuration.

credentials: {AWS_ACCESS_KEY_ID: DESK_A_KEY_ID, AWS_SECRET_ACCESS_KEY: DESK_A_SECRET}

Each key is a variable that is read without it, and its value the one that is read instead. In this
way each tenant of a process has credentials of its own, and no file has a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crypto_lakehouse.core.config.nested_settings import unknown_name
from crypto_lakehouse.core.errors import Problem

__all__ = ["CREDENTIALS", "CREDENTIAL_NAMES", "OF_KEYS", "credential_names", "missing_variables"]

#: The key of a configuration.
CREDENTIALS = "credentials"

_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

_OWN_PREFIX = "CRYPTO_LAKEHOUSE_"

#: The variables of configuration keys whose URLs may have a user name and a password.
OF_KEYS = {
    f"{_OWN_PREFIX}{key.upper()}": key
    for key in ("source_url", "second_source_url", "listing_url", "proxy")
}

#: The variables that others can be read instead of.
CREDENTIAL_NAMES = (
    *_AWS,
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    *OF_KEYS,
)

#: Capitals, so that hardly any secret that is written here by mistake looks like a name.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def credential_names(value: object) -> dict[str, str]:
    """Return the variables that are read, by the names of those that they replace.

    Raises:
        TypeError: It is no mapping.
        ValueError: A name is unknown, a value is not the name of a variable, or one of two
            variables that belong together is missing.

    Examples:
        >>> credential_names({"GOOGLE_APPLICATION_CREDENTIALS": "DESK_A_ACCOUNT"})
        {'GOOGLE_APPLICATION_CREDENTIALS': 'DESK_A_ACCOUNT'}
    """
    if not isinstance(value, Mapping) or not value:
        raise TypeError(
            "must be a mapping of variables to the names of those that are read instead, such as "
            "{AWS_ACCESS_KEY_ID: DESK_A_KEY_ID, AWS_SECRET_ACCESS_KEY: DESK_A_SECRET}"
        )
    for name, variable in value.items():
        if name not in CREDENTIAL_NAMES:
            raise ValueError(unknown_name("variable", name, CREDENTIAL_NAMES))
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            raise ValueError(
                f"`{name}` must be the name of an environment variable, in capitals; the "
                "credential itself never is in a configuration"
            )
        if variable.startswith(_OWN_PREFIX):
            raise ValueError(
                f"`{name}`: `{variable}` begins as the variables of configuration keys do; choose "
                "another name"
            )
    if any(name in value for name in _AWS) and not all(name in value for name in _AWS[:2]):
        raise ValueError(f"`{_AWS[0]}` and `{_AWS[1]}` belong together; name a variable for both")
    return {str(name): variable for name, variable in value.items()}


def missing_variables(names: object, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a fault for each variable that is named and not set; what is no name is left out.

    Args:
        names: The value of the key, as it is given.
        environ: The environment; an empty one is none, and nothing is missing.
    """
    if not isinstance(names, Mapping) or not environ:
        return
    for name, variable in names.items():
        is_name = name in CREDENTIAL_NAMES and isinstance(variable, str)
        if is_name and _VARIABLE.fullmatch(variable) and not environ.get(variable):
            reason = f"the environment variable `{variable}` is not set; set it, or name another"
            yield Problem(f"$.{CREDENTIALS}.{name}", reason)
