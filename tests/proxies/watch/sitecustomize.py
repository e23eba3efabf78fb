"""Python imports this in child processes whose PYTHONPATH leads here: it watches name lookups.

Each name that is looked up is a line of the file that `LOOKUPS_LOG` names, and a made-up one is
not found, without a word to a resolver.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

__all__ = ["MADE_UP", "watched"]

#: Hosts that no resolver may be asked for end with this.
MADE_UP = ".example.test"


def watched(lookup: Callable[..., Any], path: str) -> Callable[..., Any]:
    """A lookup that writes down what it is asked, and knows no made-up name."""

    def look_up(host: Any, *rest: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        with open(path, "a", encoding="utf-8") as log:  # noqa: PTH123 - costs start-up time
            log.write(f"{name}\n")
        if name.rstrip(".").endswith(MADE_UP):
            raise socket.gaierror(socket.EAI_NONAME, "the name is made up")
        return lookup(host, *rest, **options)

    return look_up


if "LOOKUPS_LOG" in os.environ:
    for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        found = watched(getattr(socket, function), os.environ["LOOKUPS_LOG"])
        setattr(socket, function, found)
