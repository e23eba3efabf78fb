"""JSON on standard output: valid, of equal value, and harmless on a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

from crypto_lakehouse.core.visible import json_text

__all__ = ["failure_of", "json_line"]


def json_line(value: Any, **options: Any) -> str:
    """Return a value as JSON for standard output, with `json.dumps`' options.

    Characters that its encoding lacks, and invisible ones, are escaped as JSON escapes them.
    """
    text = json_text(value, **options)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return json.dumps(value, **options)
    return text


def failure_of(message: str, code: int) -> dict[str, Any]:
    """Return what the JSON object of a command that failed begins with.

    `error` is in no object of a command that did not fail as a whole.
    """
    return {"error": message, "exit_code": code}
