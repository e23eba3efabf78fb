"""Text of unknown origin, without characters that a terminal obeys or does not show."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["escape_unencodable", "json_text", "visible", "visible_lines"]


def visible(text: str) -> str:
    r"""Escape invisible characters: controls, bidirectional marks, lone surrogates.

    A byte of a path that is not UTF-8, which Python holds as a surrogate, is shown as that byte.

    Examples:
        >>> import os
        >>> print(visible("币安\x00\u202e\n"), visible(os.fsdecode(b"bad\xff")))
        币安\x00\u202e\n bad\xff
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def visible_lines(text: str) -> str:
    r"""Escape invisible characters, except for ends of lines and tabs.

    Examples:
        >>> print(visible_lines("one\ntwo\x1b[2J"))
        one
        two\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _escape(each) for each in text)


def escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    r"""Handle the characters that an encoding lacks as `visible` does; for `codecs.register_error`.

    Examples:
        >>> import codecs, os
        >>> codecs.register_error("visible", escape_unencodable)
        >>> os.fsdecode(b"bad\xff\xe2\x86\x92").encode("ascii", "visible").decode()
        'bad\\xff\\u2192'

    Raises:
        UnicodeError: It is not an error of encoding.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_escape, lacking)), error.end


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return ascii(character)[1:-1]


def json_text(value: Any, **options: Any) -> str:
    r"""Return a value as JSON in which invisible characters are escaped, of equal value.

    Args:
        value: The value.
        options: Those of `json.dumps`; without an indent the text is one line.

    Examples:
        >>> print(json_text({"币安": "\x00\x9b\u202e\U000e0001"}))
        {"币安": "\u0000\u009b\u202e\udb40\udc01"}
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )
