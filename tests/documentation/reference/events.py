"""The page of all events of a run."""

from __future__ import annotations

import re
from typing import Any, get_args

from attrs import fields
from tests.documentation.reference.docstrings import attributes_of, text_of

from crypto_lakehouse.core import Event
from crypto_lakehouse.core.object_facts import ObjectFacts

__all__ = ["events_page"]

_HEAD = """# Events

Every event that a [sink](../how-to/own-sinks.md) gets from a run, with its fields.

`to_record` makes plain JSON types of an event, `event` being its name; `collect --events FILE`
writes one such line for each archive. Fields that are empty are left out there.
"""


def events_page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *map(_section, get_args(Event))])


def _section(event: Any) -> str:
    described = attributes_of(event)
    lines = [
        f"## `{event.__name__}`",
        "",
        text_of(event),
        "",
        "| field | type | meaning |",
        "|---|---|---|",
    ]
    for each in fields(event):
        if each.type == "ObjectFacts" or each.type is ObjectFacts:
            described.setdefault(each.name, "What is known about the bytes.")
        kind = _plain(each.type)
        meaning = described.get(each.name, "").replace("|", r"\|")
        lines.append(f"| `{each.name}` | `{kind}` | {meaning} |")
    return "\n".join([*lines, ""])


def _plain(kind: object) -> str:
    """A type as it is written in code, without modules."""
    text = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    return re.sub(r"\b(?:[a-z_]+\.)+", "", text).replace("|", r"\|")
