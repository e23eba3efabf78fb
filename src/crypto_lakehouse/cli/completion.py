"""What a shell offers as the value of an option that is a configuration key."""

from __future__ import annotations

from collections.abc import Callable
from enum import EnumMeta
from typing import Any

import click
from click.shell_completion import CompletionItem

from crypto_lakehouse.core.config.values import Choice, Partitions

__all__ = ["completer_of"]

_Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_PARTITIONS = ("daily", "monthly", "auto")

#: Options whose values a shell completes itself, by their placeholders in `--help`.
_PATHS = {"FILE": "file", "DIR": "dir", "DIR|URL": "dir"}


def completer_of(kind: Any, metavar: str) -> _Completer | None:
    """Return what completes the values of a key, or None if they are not known beforehand.

    A list is completed after its last comma.

    Args:
        kind: How the key's value is read.
        metavar: The placeholder for a value in `--help`.
    """
    if metavar in _PATHS:
        return lambda _context, _option, text: [CompletionItem(text, type=_PATHS[metavar])]
    words = _words(kind)
    return (lambda _context, _option, text: _completed(text, words)) if words else None


def _words(kind: Any) -> tuple[str, ...]:
    if isinstance(kind, Choice):
        return kind
    if kind is Partitions:
        return _PARTITIONS
    item = kind.__args__[0] if getattr(kind, "__origin__", None) is tuple else None
    return tuple(map(str, item)) if isinstance(item, EnumMeta) else ()


def _completed(text: str, words: tuple[str, ...]) -> list[CompletionItem]:
    before, comma, begun = text.rpartition(",")
    given = {*before.split(",")}
    return [
        CompletionItem(f"{before}{comma}{word}")
        for word in words
        if word.startswith(begun) and word not in given
    ]
