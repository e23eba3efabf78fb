"""The URL of a PostgreSQL database, as its own tools take it, but never with a password."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from crypto_lakehouse.core.messages import shown

__all__ = ["database_url_fault", "is_database_url", "schema_fault"]

_SCHEMES = frozenset({"postgresql", "postgres"})

#: Parameters of a URL that are secrets.
_SECRETS = frozenset({"password", "sslpassword", "oauth_client_secret"})

#: Names that need no quotes, so that they are the same to every tool.
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def is_database_url(text: str | None) -> bool:
    """Whether a text looks like the URL of a database, and not like a name."""
    return text is not None and "://" in text


def database_url_fault(url: str) -> str | None:
    """Return why a text is not the URL of a database without a password; None if it is."""
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None
        names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    except ValueError:  # the text of the error quotes the URL
        return "not a URL; write postgresql://host/database"
    if has_password or names & _SECRETS:
        return (
            "must not contain a password; it comes from the environment variable PGPASSWORD, from "
            "~/.pgpass, or from a service file"
        )
    if parts.scheme.lower() not in _SCHEMES or "//" not in url:
        scheme = f"`{shown(parts.scheme)}:` is not supported; " if parts.scheme else ""
        return f"{scheme}write postgresql://host/database"
    if parts.fragment or any(character.isspace() for character in url):
        return "must not have a fragment or spaces; write postgresql://host/database"
    return None


def schema_fault(name: str) -> str | None:
    """Return why a text is not the name of a schema for the tables; None if it is."""
    if not _SCHEMA.fullmatch(name) or name.startswith("pg_"):
        return (
            f"`{shown(name)}` is not a name for a schema here; use up to 63 small letters, digits "
            "and underscores, without a digit or `pg_` at the beginning"
        )
    return None
