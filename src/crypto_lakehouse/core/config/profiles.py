"""Profiles: named sets of keys in a configuration file, selected by `environment`.

environments:
  production: {output_directory: /srv/archive, processes: auto}
  development: {output_directory: output, max_retries: 0}
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from attrs import field, frozen

from crypto_lakehouse.core.config.rules import check_unknown_keys
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = ["CHOICE", "PRODUCTION", "PROFILES", "USUAL_PROFILES", "Profiles"]

#: The key of a file that contains its profiles, and the key that selects one.
PROFILES, CHOICE = "environments", "environment"

PRODUCTION = "production"

#: Names that are valid without a profile.
USUAL_PROFILES = ("development", PRODUCTION)


@frozen
class Profiles:
    """The profiles of one file, with their errors and warnings."""

    by_name: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

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
        known = [key for key in keys if key not in {CHOICE, "tenant"}]
        read = {
            str(name): _profile(name, values, known, older, others)
            for name, values in given.items()
        }
        return cls(
            by_name={name: values for name, (values, _, _) in read.items()},
            notes=tuple(note for _, notes, _ in read.values() for note in notes),
            problems=tuple(each for _, _, problems in read.values() for each in problems),
        )

    def fault_of(self, name: object) -> list[Problem]:
        """Return an error if there is no such profile; the key's own check rejects non-text."""
        names = dict.fromkeys((*USUAL_PROFILES, *self.by_name))
        if not isinstance(name, str) or name in names:
            return []
        message = f"unknown value `{shown(name)}`; {allowed_values(name, names)}"
        return [Problem(f"$.{CHOICE}", message)]


def _profile(
    name: object,
    given: object,
    known: Collection[str],
    older: Mapping[str, str],
    others: Collection[str],
) -> tuple[dict[str, Any], list[str], list[Problem]]:
    place = f"$.{PROFILES}.{shown(name)}"
    if not isinstance(name, str) or not name.strip():
        return {}, [], [Problem(place, f"the name of a profile must be text, not `{shown(name)}`")]
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        fault = f"must be a mapping of keys, not {kind}; write {{}} if it has no keys"
        return {}, [], [Problem(place, fault)]
    own = {key: value for key, value in given.items() if key not in others}
    return check_unknown_keys(own, known, place, older=older, others=others)
