"""Profiles: named sets of keys in a configuration file, selected by `environment`.

environments:
  production: {output_directory: /srv/archive, processes: auto}
  development: {output_directory: output, max_retries: 0}
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from attrs import frozen

from crypto_lakehouse.core.config.named_keys import ENVIRONMENT, NamedKeys
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = ["CHOICE", "PRODUCTION", "PROFILES", "USUAL_PROFILES", "Profiles"]

#: The key of a file that contains its profiles, and the key that selects one.
PROFILES, CHOICE = "environments", ENVIRONMENT

PRODUCTION = "production"

#: Names that are valid without a profile.
USUAL_PROFILES = ("development", PRODUCTION)


@frozen
class Profiles(NamedKeys):
    """The profiles of one file, with their errors and warnings."""

    @classmethod
    def read(
        cls,
        given: object,
        keys: Iterable[str],
        older: Mapping[str, str],
        others: Collection[str] = (),
    ) -> Profiles:
        """Read the value of `environments`; all profiles are checked, not only the selected one.

        Args:
            given: The value.
            keys: The keys that a profile may have.
            older: Keys that are ignored with a warning, and why.
            others: Keys that are ignored, because other commands read them.
        """
        if not isinstance(given, Mapping):
            fault = f"must be a mapping of names to keys, not {type(given).__name__}"
            return cls(problems=(Problem(f"$.{PROFILES}", fault),))
        return cls._read(
            f"$.{PROFILES}",
            given,
            keys,
            older,
            others,
            name_fault=_name_fault,
            if_empty="; write {} if it has no keys",
        )

    def fault_of(self, name: object) -> list[Problem]:
        """Return an error if there is no such profile; the key's own check rejects non-text."""
        names = dict.fromkeys((*USUAL_PROFILES, *self.by_name))
        if not isinstance(name, str) or name in names:
            return []
        message = f"unknown value `{shown(name)}`; {allowed_values(name, names)}"
        return [Problem(f"$.{CHOICE}", message)]


def _name_fault(name: object) -> str:
    if isinstance(name, str) and name.strip():
        return ""
    return f"the name of a profile must be text, not `{shown(name)}`"
