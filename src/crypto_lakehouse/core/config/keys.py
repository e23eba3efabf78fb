"""A configuration key: how its value is read, and its description.

The help of the command line, the table in docs/configuration.md and the JSON schema are generated
from it.
"""

from __future__ import annotations

from typing import Any

import attrs
from attrs import field, frozen

from crypto_lakehouse.core.config.values import (
    MOST,
    Choice,
    Credentials,
    DateRange,
    DayOrPeriod,
    Fill,
    Freshness,
    Interval,
    Intervals,
    Parallelism,
    Partitions,
    Policies,
    Processes,
    Profile,
    ProxySetting,
    Record,
    Serve,
    Storage,
    Symbol,
    Symbols,
)
from crypto_lakehouse.core.redaction import redact

__all__ = ["UNSET", "About", "KeyDescription", "described", "key", "may_be_unset"]

#: The value that unsets an optional key, whatever an earlier source says.
UNSET = "none"

_FORMS: dict[Any, str] = {
    bool: "true, false",
    str: "text",
    DayOrPeriod: "UTC day",
    DateRange: "UTC days {start, end}, inclusive",
    Symbols: "list, or {market: list}",
    Intervals: "list, or {data type: list}",
    Partitions: "`daily`, `monthly`, or `auto`",
    Policies: "{check: policy}",
    Fill: "{until, only_holes, urls}",
    Serve: "`PORT`, `ADDRESS:PORT`, or {address, port}",
    Freshness: "{market/data type: duration}",
    Record: "{streams, rotate, snapshots, urls, ingest}",
    Credentials: "{variable: variable}",
    Storage: "{endpoint, region, virtual_hosted_style, account}",
    Parallelism: f"1..{MOST[Parallelism]}, or `auto`",
    Profile: "`development`, `production`, or a profile of the file",
    Processes: f"1..{MOST[Processes]}, or `auto`",
    ProxySetting: "`environment`, `none`, or a URL",
}


#: What the form of a key adds if text may give its number in another unit.
_QUANTITIES: dict[str | None, str] = {
    "bytes": ", or text such as `10MB` or `1GiB`",
    "seconds": ", or text such as `30s` or `5m`",
    "days": ", or text such as `30d` or `2w`",
}


@frozen
class About:
    """The description of a key, as far as its type and default do not provide it.

    Attributes:
        help: One sentence: what the key is for.
        more: Further sentences, for the documentation only.
        form: The form of its values, if the kind does not describe it well enough.
        unset: What applies without a value, if the default does not describe it.
        options: Further names on the command line, besides the key's own.
        metavar: The placeholder for a value in `--help`.
        since: The first version that has the key.
    """

    help: str
    more: str = ""
    form: str = ""
    unset: str = ""
    options: tuple[str, ...] = ()
    metavar: str = ""
    since: str = "0.1.0"


def key(
    kind: Any,
    default: Any = attrs.NOTHING,
    *,
    about: About,
    **bounds: Any,
) -> Any:
    """Return one configuration key as an attrs field.

    Args:
        kind: How its value is read.
        default: Its default; a key without one is required.
        about: Its description.
        bounds: The bounds of a number: `at_least`, `at_most`, `above`; its `unit`, if text may give
            it in another one; and `may_be_empty` for a list.
    """
    metadata = {"kind": kind, "about": about, **bounds}
    return field(default=default, repr=_shown, metadata=metadata)


def may_be_unset(attribute: attrs.Attribute[Any]) -> bool:
    """Whether a key accepts `none`: it is optional, and its values are not free text."""
    kind = attribute.metadata["kind"]
    return attribute.default is None and (
        kind in (int, float, DayOrPeriod) or isinstance(kind, Choice)
    )


def _shown(value: object) -> str:
    return redact(repr(value))


@frozen
class KeyDescription:
    """The description of a key in Markdown, with values as `code`."""

    name: str
    form: str
    default: str
    about: About

    @property
    def text(self) -> str:
        """All sentences about the key."""
        return f"{self.about.help} {self.about.more}".strip()


def described(attribute: attrs.Attribute[Any]) -> KeyDescription:
    """Return the description of a configuration key.

    Examples:
        >>> class_ = attrs.make_class(
        ...     "C", {"tries": key(int, 5, at_least=0, at_most=9, about=About("How often."))}
        ... )
        >>> found = described(attrs.fields(class_).tries)
        >>> found.form, found.default
        ('0..9', '5')
    """
    about: About = attribute.metadata["about"]
    return KeyDescription(
        name=attribute.name,
        form=about.form or _form(attribute),
        default=about.unset or _default(attribute.default),
        about=about,
    )


def _form(attribute: attrs.Attribute[Any]) -> str:
    kind = attribute.metadata["kind"]
    if isinstance(kind, Choice):
        return ", ".join(f"`{word}`" for word in kind)
    if kind in (int, float):
        return _range(attribute) + _QUANTITIES.get(attribute.metadata.get("unit"), "")
    if getattr(kind, "__origin__", None) is tuple:
        item = kind.__args__[0]
        if item in (str, Symbol, Interval):
            return "list"
        return f"list of {', '.join(f'`{each}`' for each in item)}"
    return _FORMS[kind]


def _range(attribute: attrs.Attribute[Any]) -> str:
    bounds = attribute.metadata
    if "at_most" in bounds:
        return f"{bounds['at_least']}..{bounds['at_most']}"
    return f">= {bounds['at_least']}" if "at_least" in bounds else f"> {bounds['above']}"


def _default(value: object) -> str:
    if value is attrs.NOTHING:
        return "required"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else f"`{value}`"
