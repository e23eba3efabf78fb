"""Another version of this package, installed in another virtual environment, to compare with."""

from __future__ import annotations

import json
import subprocess
import sys

from attrs import frozen

__all__ = ["require_another_version"]

#: Prints where the package lies, and whether its bytecode is kept.
_PROGRAM = """
import crypto_lakehouse, importlib.util, json, os
path = os.path.realpath(crypto_lakehouse.__file__)
print(json.dumps([path, os.path.exists(importlib.util.cache_from_source(path))]))
"""


@frozen
class _Installed:
    path: str
    is_compiled: bool


def require_another_version(python: str) -> None:
    """Make sure that an interpreter imports the package, and not the one of this interpreter.

    Raises:
        ValueError: It does not.
    """
    other, own = _installed(python), _installed(sys.executable)
    if other.path == own.path:
        raise ValueError(f"{python} imports the version that it is to be compared with: {own.path}")
    if other.is_compiled != own.is_compiled:
        dearer = "ours" if other.is_compiled else "before"
        print(
            f"no bytecode is kept for {dearer}, which may make each of its runs dearer: "
            "unset PYTHONDONTWRITEBYTECODE, and run it once",
            file=sys.stderr,
        )


def _installed(python: str) -> _Installed:
    try:
        run = subprocess.run([python, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ValueError(f"{python} cannot be run: {error.strerror}") from error
    if run.returncode != 0:
        said = (run.stderr.splitlines() or ["it says nothing"])[-1]
        raise ValueError(f"{python} cannot import crypto_lakehouse: {said}")
    path, is_compiled = json.loads(run.stdout)
    return _Installed(path, is_compiled)
