"""Standard output whose encoding lacks a symbol that is to be shown."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NAME = "caf\u00e9-\u2192-\u65e5"

#: What is written of NAME in an encoding.
SHOWN = {
    "ascii": rb"caf\xe9-\u2192-\u65e5",
    "cp1252": NAME.encode("cp1252", "backslashreplace"),
    "utf-8": NAME.encode(),
}


@pytest.mark.parametrize("encoding", SHOWN)
def test_symbols_that_standard_output_cannot_encode_are_escaped(encoding: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "crypto_lakehouse", "config", "show", "-o", NAME],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "200"},
    )
    assert b"Traceback" not in ended.stderr
    assert SHOWN[encoding] in ended.stdout
