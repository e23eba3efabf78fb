"""Read JSON values as attrs classes, and report every fault of a file in one pass."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.core.config.scalar_values import strict_converter
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = ["JsonReader", "ObjectCheck", "member_path"]

#: Finds the faults of one object, given its valid fields by name, and its place. A field that is
#: absent or faulty itself is left out.
ObjectCheck = Callable[[Mapping[str, Any], str], Iterable[Problem]]

_LEAVES, _LEAVES_OF_ALL = strict_converter(), strict_converter(DataType)


def member_path(path: str, name: str) -> str:
    """The place of an object's member.

    Examples:
        >>> member_path("$.symbol_lives", "BTCUSDT"), member_path("$.symbol_lives", "../x")
        ('$.symbol_lives.BTCUSDT', '$.symbol_lives["../x"]')
    """
    return f"{path}.{name}" if re.fullmatch(r"\w+", name) else f'{path}["{shown(name)}"]'


@attrs.define
class JsonReader:
    """Reads objects and collects their faults.

    cattrs reads single values. Objects are read here, because a check of several fields must run
    even if another field is faulty; otherwise the user would see the faults in instalments.

    Attributes:
        checks: What to check of each class beyond the types of its fields.
        open_kinds: Classes whose objects may have unknown keys.
        every_type: Whether data types that are only recorded are known as well.
        problems: Every fault so far, in the order of reading.
    """

    checks: Mapping[type, ObjectCheck]
    open_kinds: frozenset[type] = frozenset()
    every_type: bool = False
    problems: list[Problem] = attrs.field(init=False, factory=list)

    def read(self, value: object, kind: Any, path: str) -> Any:
        """Read one value.

        Args:
            value: What the file holds.
            kind: An attrs class, `tuple[X, ...]`, `Mapping[K, V]`, `X | None`, or a single
                value's type.
            path: The value's place, for problems.

        Returns:
            The value; it must not be used if `problems` has grown.
        """
        arguments = typing.get_args(kind)
        if attrs.has(kind):
            return self._object(value, kind, path)
        if typing.get_origin(kind) in {types.UnionType, typing.Union}:
            return None if value is None else self.read(value, arguments[0], path)
        if typing.get_origin(kind) is tuple:
            return self._list(value, arguments[0], path)
        if typing.get_origin(kind) is Mapping:
            return self._mapping(value, arguments[0], arguments[1], path)
        if typing.get_origin(kind) is typing.Literal:
            return self._choice(value, arguments, path)
        return self._single(value, kind, path)

    def _object(self, value: object, kind: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            self._fault(path, f"must be an object, not `{shown(value)}`")
            return None
        before = len(self.problems)
        good: dict[str, Any] = {}
        fields = attrs.fields(attrs.resolve_types(kind))
        for field in fields:
            place, known = f"{path}.{field.name}", len(self.problems)
            if field.name in value:
                result = self.read(value[field.name], field.type, place)
                if len(self.problems) == known:
                    good[field.name] = result
            elif field.default is attrs.NOTHING:
                self._fault(place, "required, and missing")
        if kind not in self.open_kinds:
            self._refuse_unknown(value, [field.name for field in fields], path)
        self.problems.extend(self.checks[kind](good, path) if kind in self.checks else ())
        return kind(**good) if len(self.problems) == before else None

    def _refuse_unknown(self, value: Mapping[str, object], known: list[str], path: str) -> None:
        for name in value:
            if name not in known:
                hint = allowed_values(name, known)
                self._fault(path, f"unknown key `{shown(name)}`; {hint}")

    def _list(self, value: object, kind: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            self._fault(path, f"must be a list, not `{shown(value)}`")
            return ()
        return tuple(self.read(item, kind, f"{path}[{i}]") for i, item in enumerate(value))

    def _mapping(self, value: object, key: Any, item: Any, path: str) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            self._fault(path, f"must be an object, not `{shown(value)}`")
            return {}
        pairs = ((name, entry, member_path(path, name)) for name, entry in value.items())
        return {
            self._single(name, key, place): self.read(entry, item, place)
            for name, entry, place in pairs
        }

    def _choice(self, value: object, allowed: Sequence[str], path: str) -> object:
        if value not in allowed:
            self._fault(path, f"no `{shown(value)}`; {allowed_values(shown(value), allowed)}")
        return value

    def _single(self, value: object, kind: Any, path: str) -> Any:
        try:
            leaves = _LEAVES_OF_ALL if self.every_type else _LEAVES
            return leaves.structure(value, kind)
        except (TypeError, ValueError) as error:
            self._fault(path, str(error))
            return None

    def _fault(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))
