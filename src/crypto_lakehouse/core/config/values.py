"""Converts the values of configuration keys: a hook for each kind of value."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NewType, Self

import cattrs
from cattrs.gen import make_dict_structure_fn, override
from cattrs.v import transform_error

from crypto_lakehouse.core.archive import DataType, Market, Partition, check_symbol
from crypto_lakehouse.core.config.credential_names import credential_names
from crypto_lakehouse.core.config.days import (
    DateRange,
    structure_end,
    structure_period,
    structure_start,
)
from crypto_lakehouse.core.config.fill_settings import fill_settings
from crypto_lakehouse.core.config.freshness_settings import freshness_age, freshness_group
from crypto_lakehouse.core.config.intervals import structure_interval
from crypto_lakehouse.core.config.monitoring_settings import serve_settings
from crypto_lakehouse.core.config.quantities import parse_quantity
from crypto_lakehouse.core.config.record_settings import record_settings
from crypto_lakehouse.core.config.scalar_values import (
    kind_of,
    strict_converter,
    structure_integer,
    structure_text,
)
from crypto_lakehouse.core.config.storage import storage_options
from crypto_lakehouse.core.errors import ArchiveKeyError, Problem
from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = [
    "AUTO",
    "MOST",
    "Choice",
    "Credentials",
    "DateRange",
    "DayOrPeriod",
    "EndDay",
    "Fill",
    "Freshness",
    "Interval",
    "Intervals",
    "Parallelism",
    "Partitions",
    "Policies",
    "Processes",
    "Profile",
    "ProxySetting",
    "Serve",
    "StartDay",
    "Storage",
    "Symbol",
    "Symbols",
    "structure_value",
]

AUTO = "auto"

#: What may be given for a list, besides a single text.
_LISTS = (list, tuple, set, frozenset)

#: Separates a message from its path in cattrs' lines; messages contain no control characters.
_END = "\0"

#: Kinds of values; each has its hook below.
Symbols = NewType("Symbols", object)
Intervals = NewType("Intervals", object)
Partitions = NewType("Partitions", object)
Parallelism = NewType("Parallelism", object)
Processes = NewType("Processes", object)
ProxySetting = NewType("ProxySetting", object)
Policies = NewType("Policies", object)
Profile = NewType("Profile", object)
Storage = NewType("Storage", object)
Credentials = NewType("Credentials", object)
Fill = NewType("Fill", object)
Freshness = NewType("Freshness", object)
Record = NewType("Record", object)
Serve = NewType("Serve", object)
DayOrPeriod = NewType("DayOrPeriod", object)
StartDay = NewType("StartDay", object)
EndDay = NewType("EndDay", object)
Symbol = NewType("Symbol", str)
Interval = NewType("Interval", str)
_FreshGroup = NewType("_FreshGroup", str)
_FreshAge = NewType("_FreshAge", float)
_OBJECTIVES: Any = (dict[_FreshGroup, Any], dict[Any, _FreshAge])

#: The largest number for each kind that is a number or `auto`.
MOST = {Parallelism: 256, Processes: 64}


class Choice(tuple[str, ...]):
    """One of a fixed set of words."""

    __slots__ = ()

    def __new__(cls, *words: str) -> Self:
        """Take the allowed words."""
        return super().__new__(cls, words)


def structure_value(
    value: object, metadata: Mapping[str, Any], path: str
) -> tuple[Any, list[Problem]]:
    """Convert one value to the kind of its key.

    Args:
        value: The value as given; never None.
        metadata: The key's `kind`, its `unit` if text may give another one (see `quantities`),
            its bounds `at_least`, `at_most`, `above`, and whether a list `may_be_empty`.
        path: The path of the key, for error messages.

    Returns:
        The value, and the errors found; if there are errors, the value has no meaning.
    """
    kind = metadata["kind"]
    try:
        if isinstance(kind, Choice):
            return _word(value, kind), []
        if "unit" in metadata and isinstance(value, str):
            quantity = parse_quantity(value, metadata["unit"])
            value = value if quantity is None else quantity
        if metadata.get("may_be_empty") and _is_empty_list(value):
            return (), []
        result = _CONVERTER.structure(value, kind)
    except Exception as error:  # noqa: BLE001 - cattrs raises groups of whatever the hooks raise
        return None, [_problem(line) for line in transform_error(error, path, _describe)]
    fault = _bounds_fault(result, metadata)
    return result, [Problem(path, fault)] if fault else []


def _problem(line: str) -> Problem:
    """Split a line of `transform_error`: `message @ path`."""
    message, _, path = line.partition(f"{_END} @ ")
    return Problem(path, message)


def _describe(error: BaseException, _type: type | None) -> str:
    if isinstance(error, KeyError):
        return f"required, and missing{_END}"
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        names = ", ".join(sorted(f"`{shown(name)}`" for name in error.extra_fields))
        return f"unknown key {names}; allowed: start, end{_END}"
    return f"{error}{_END}"


def _bounds_fault(value: object, metadata: Mapping[str, Any]) -> str | None:
    if "at_least" in metadata and value < metadata["at_least"]:
        return f"must be at least {metadata['at_least']}, not {shown(value)}"
    if "at_most" in metadata and value > metadata["at_most"]:
        return f"must be at most {metadata['at_most']}, not {shown(value)}"
    if "above" in metadata and not value > metadata["above"]:
        return f"must be more than {metadata['above']}, not {value}"
    return None


def _word(value: object, choice: Choice) -> str:
    if value not in choice:
        raise ValueError(f"unknown value `{shown(value)}`; {allowed_values(value, choice)}")
    return str(value)


def _symbol(value: object, _: Any) -> str:
    """A symbol or a glob of symbols, in NFC; the wildcards are `*`, `?` and `[...]`."""
    text = unicodedata.normalize("NFC", structure_text(value, str))
    plain = text.translate(str.maketrans("", "", "*?[]!-")) if is_glob(text) else text
    try:
        check_symbol(plain or "X")
    except ArchiveKeyError as error:
        raise ValueError(f"`{shown(text)}`: {error.reason}") from None
    return text


def is_glob(symbol: str) -> bool:
    """Whether a configured symbol contains wildcards."""
    return any(character in symbol for character in "*?[")


def _is_empty_list(value: object) -> bool:
    return isinstance(value, _LISTS) and not value


def _list(value: object, kind: Any) -> tuple[Any, ...]:
    """Return a list without duplicates in its order. A single string counts as a list of one."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, _LISTS):
        raise TypeError(f"must be a list, not {kind_of(value)}")
    if not values:
        raise ValueError("must not be empty; leave the key out for the default")
    ordered = sorted(values, key=str) if isinstance(values, set | frozenset) else list(values)
    items = _CONVERTER.structure(ordered, list[kind.__args__[0]])
    return tuple(dict.fromkeys(items))


def _list_or_mapping(key: Any, item: Any) -> Callable[[object, Any], Any]:
    def structure(value: object, _: Any) -> Any:
        if not isinstance(value, Mapping):
            return _CONVERTER.structure(value, tuple[item, ...])
        if not value:
            raise ValueError("must not be empty; leave the key out for the default")
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"keys must be text, not {kind_of(name)}")
        return _CONVERTER.structure(dict(value), dict[key, tuple[item, ...]])

    return structure


def _partitions(value: object, _: Any) -> str | tuple[Partition, ...]:
    if value in (AUTO, [AUTO], (AUTO,)):
        return AUTO
    return _CONVERTER.structure(value, tuple[Partition, ...])


def _number_or_auto(most: int) -> Callable[[object, Any], int | str]:
    def structure(value: object, kind: Any) -> int | str:
        if value == AUTO:
            return AUTO
        number = structure_integer(value, kind)
        if not 1 <= number <= most:
            raise ValueError(f"must be 1 to {most}, or `auto`, not {shown(number)}")
        return number

    return structure


def _proxy_setting(value: object, _: Any) -> str:
    """Return text, which `rules` checks; other types are not quoted, as they may hold passwords."""
    if isinstance(value, str):
        return value
    kind = kind_of(value).partition(" (")[0]
    raise TypeError(f"must be text, not {kind}; one proxy is for http and https alike")


def _policies(value: object, _: Any) -> dict[str, str]:
    """Return the policy for each check; the checks and policies are validated by their owner."""
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a mapping of checks to policies, not {kind_of(value)}")
    return _CONVERTER.structure(dict(value), dict[str, str])


def _storage(value: object, _: Any) -> dict[str, Any]:
    """Return the settings of an object store."""
    return storage_options(value)


def _credentials(value: object, _: Any) -> dict[str, str]:
    """Return the variables that have credentials."""
    return credential_names(value)


def _fill(value: object, _: Any) -> dict[str, Any]:
    """Return the settings of `fill`."""
    return fill_settings(value)


def _record(value: object, _: Any) -> dict[str, Any]:
    """Return the settings of `record`."""
    return record_settings(value)


def _serve(value: object, _: Any) -> dict[str, Any]:
    """Return where metrics are served."""
    return serve_settings(value)


def _freshness(value: object, _: Any) -> dict[str, float]:
    """Return the objective of each group of series, in seconds."""
    if not isinstance(value, Mapping):
        example = "{futures_um/klines: 36h}"
        raise TypeError(f"must be a mapping, such as {example}, not {kind_of(value)}")
    faults: list[Exception] = []
    for kind in _OBJECTIVES:  # a key and its value may both be wrong
        try:
            read = _CONVERTER.structure(dict(value), kind)
        except cattrs.IterableValidationError as error:
            faults += error.exceptions
    if faults:
        raise cattrs.IterableValidationError("objectives", faults, dict)
    objectives: dict[str, float] = read
    return objectives


def _profile(value: object, _: Any) -> str:
    """Return a name; `profiles` checks it, because only that module knows the names."""
    if isinstance(value, str):
        return value
    raise TypeError(f"must be text, not {kind_of(value)}")


def _is_tuple(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is tuple


def _config_converter() -> cattrs.Converter:
    converter = strict_converter()
    converter.register_structure_hook_func(_is_tuple, _list)
    for kind, hook in (
        (Symbol, _symbol),
        (Interval, structure_interval),
        (Symbols, _list_or_mapping(Market, Symbol)),
        (Intervals, _list_or_mapping(DataType, Interval)),
        (Partitions, _partitions),
        (Parallelism, _number_or_auto(MOST[Parallelism])),
        (Processes, _number_or_auto(MOST[Processes])),
        (ProxySetting, _proxy_setting),
        (Profile, _profile),
        (Policies, _policies),
        (Storage, _storage),
        (Credentials, _credentials),
        (Fill, _fill),
        (Record, _record),
        (Serve, _serve),
        (Freshness, _freshness),
        (_FreshGroup, lambda value, _: freshness_group(value)),
        (_FreshAge, lambda value, _: freshness_age(value)),
        (DayOrPeriod, structure_period),
        (StartDay, structure_start),
        (EndDay, structure_end),
    ):
        converter.register_structure_hook(kind, hook)
    structure_range = make_dict_structure_fn(
        DateRange,
        converter,
        _cattrs_forbid_extra_keys=True,
        start=override(struct_hook=structure_start),
        end=override(struct_hook=structure_end),
    )

    def date_range(value: object, kind: Any) -> DateRange:
        if not isinstance(value, Mapping):
            raise TypeError(f"must be a mapping with start and end, not {kind_of(value)}")
        return structure_range(dict(value), kind)

    converter.register_structure_hook(DateRange, date_range)
    return converter


_CONVERTER = _config_converter()
