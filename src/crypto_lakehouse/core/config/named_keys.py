"""Sets of keys in a configuration file that have names, as profiles and tenants have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Self

from attrs import field, frozen

from crypto_lakehouse.core.config.rules import check_unknown_keys
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import shown

__all__ = ["ENVIRONMENT", "TENANT", "NamedKeys"]

#: The keys that select a profile and a tenant; neither can have them.
ENVIRONMENT, TENANT = "environment", "tenant"


@frozen
class NamedKeys:
    """The sets of one file, with their errors and warnings."""

    by_name: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def _read(
        cls,
        place: str,
        given: Mapping[object, object],
        keys: Iterable[str],
        older: Mapping[str, str],
        others: Collection[str],
        *,
        name_fault: Callable[[object], str],
        if_empty: str = "",
    ) -> Self:
        """Read sets of keys; all of them are checked, not only the selected one.

        Args:
            place: The path of the key that has them.
            given: Their mappings by name.
            keys: The keys that a set may have.
            older: Keys that are ignored with a warning, and why.
            others: Keys that are ignored, because other commands read them.
            name_fault: Returns why a name cannot be used; empty if it can.
            if_empty: What to write for a set without keys, for messages.
        """
        known = [key for key in keys if key not in {ENVIRONMENT, TENANT}]
        by_name: dict[str, Mapping[str, Any]] = {}
        notes: list[str] = []
        problems: list[Problem] = []
        for name, values in given.items():
            own: Mapping[str, Any] = {}
            at = f"{place}.{shown(name)}"
            if fault := name_fault(name):
                problems.append(Problem(at, fault))
            elif not isinstance(values, Mapping):
                fault = f"must be a mapping of keys, not {type(values).__name__}{if_empty}"
                problems.append(Problem(at, fault))
            else:
                asked = {key: value for key, value in values.items() if key not in others}
                own, more, faults = check_unknown_keys(asked, known, at, older=older, others=others)
                notes += more
                problems += faults
            by_name[str(name)] = own
        return cls(by_name, tuple(problems), tuple(notes))
