"""Text of unknown origin, without characters that a terminal obeys or does not show."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["json_text", "visible", "visible_lines"]


def visible(text: str) -> str:
    r"""Escape invisible characters: controls, bidirectional marks, lone surrogates.

    Example:
        >>> print(visible("币安\x00\u202e\n"))
        币安\x00\u202e\n
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def visible_lines(text: str) -> str:
    r"""Escape invisible characters, except for ends of lines and tabs.

    Example:
        >>> print(visible_lines("one\ntwo\x1b[2J"))
        one
        two\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text
    )


def json_text(value: Any, **options: Any) -> str:
    r"""Return a value as JSON in which invisible characters are escaped, of equal value.

    Args:
        value: The value.
        options: Those of `json.dumps`; without an indent the text is one line.

    Example:
        >>> print(json_text({"币安": "\x00\x9b\u202e\U000e0001"}))
        {"币安": "\u0000\u009b\u202e\udb40\udc01"}
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )
