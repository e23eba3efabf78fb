"""Tenants: named sets of keys in a configuration file, each with an output of its own.

tenants:
  desk-a: {output_directory: /srv/desk-a, symbols: [BTCUSDT]}
  desk-b: {output_directory: /srv/desk-b, symbols: [ETHUSDT]}

`tenant` selects one. Its keys come above those of the file and of the profile, and below variables.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from attrs import frozen

from crypto_lakehouse.core.config.named_keys import TENANT, NamedKeys
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = ["TENANT", "TENANTS", "TENANT_NAME", "Tenants"]

#: The key of a file that contains its tenants.
TENANTS = "tenants"

#: A name is a label of metrics and a field of logs, and may become a part of a path.
TENANT_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"


@frozen
class Tenants(NamedKeys):
    """The tenants of one file, with their errors and warnings."""

    @classmethod
    def read(
        cls,
        given: object,
        keys: Iterable[str],
        older: Mapping[str, str],
        others: Collection[str] = (),
    ) -> Tenants:
        """Read the value of `tenants`; all of them are checked, not only the selected one.

        Args:
            given: The value; None if there is none.
            keys: The keys that a tenant may have.
            older: Keys that are ignored with a warning, and why.
            others: Keys that are ignored, because other commands read them.
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping) or not given:
            kind = "an empty one" if isinstance(given, Mapping) else type(given).__name__
            fault = f"must be a mapping of names to keys, not {kind}"
            return cls(problems=(Problem(f"$.{TENANTS}", fault),))
        return cls._read(f"$.{TENANTS}", given, keys, older, others, name_fault=_name_fault)

    def fault_of(self, name: object) -> list[Problem]:
        """Return an error if there is no such tenant, or if one of several is not named.

        The key's own check refuses what is no text.
        """
        if self.problems and not self.by_name:
            return []
        names = [*self.by_name]
        if name is None and names:
            fault = f"required, as the configuration has tenants; {allowed_values(None, names)}"
            return [Problem(f"$.{TENANT}", fault)]
        if not isinstance(name, str) or name in names:
            return []
        known = allowed_values(name, names) if names else "the configuration has no `tenants`"
        return [Problem(f"$.{TENANT}", f"there is no tenant `{shown(name)}`; {known}")]


def _name_fault(name: object) -> str:
    if isinstance(name, str) and re.fullmatch(TENANT_NAME, name):
        return ""
    return (
        f"`{shown(name)}` is not the name of a tenant; it has letters, digits, `-` and `_`, "
        "begins with a letter or a digit, and has at most 63 characters"
    )
