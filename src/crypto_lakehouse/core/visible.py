"""Text of unknown origin, without characters that a terminal obeys or does not show."""

from __future__ import annotations

__all__ = ["visible", "visible_lines"]


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
