"""Locales whose encoding lacks a symbol that the publisher uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crypto_lakehouse.testing import ArchiveServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode there")

SYMBOL = "\u5e01\u5b89\u4eba\u751fUSDT"

KEY = f"data/spot/daily/klines/{SYMBOL}/1h/{SYMBOL}-1h-2025-07-15.zip"

SELECTED = ("-s", f"{SYMBOL},BTCUSDT", "--markets", "spot", "-t", "klines", "-i", "1h",
            "--date", "2025-07-15", "--discovery", "calendar")  # fmt: skip

#: Without these two, Python changes the C locale to a UTF-8 one.
AS_IT_IS = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

#: What makes Python's file names ASCII, and standard output ASCII or cp1252.
LOCALES = {
    "ASCII": {"LC_ALL": "C", **AS_IT_IS},
    "cp1252": {"LC_ALL": "POSIX", "PYTHONIOENCODING": "cp1252", **AS_IT_IS},
    "UTF-8": {"LC_ALL": "C.UTF-8"},
}

#: Run in this order on one directory; each has its exit code.
COMMANDS = (
    (["ingest", "-o", "out"], 0),
    (["query", "-o", "out", "SELECT symbol, count(*) FROM spot.klines GROUP BY 1"], 0),
    (["status", "-o", "out", "-s", SYMBOL], 0),
    (["validate", "-o", "out", "-s", SYMBOL], 0),
    (["lake", "compact", "-o", "out"], 0),
    (["history", "-o", "out", KEY, "--as-of", "9999-01-01", "--write", f"{SYMBOL}.zip"], 0),
    (["verify", "-o", "out", "--sums", "sums"], 0),
    (["ingest", "-o", "out", "--lake", "files", "--format", "parquet"], 0),
)

#: Collects in this process, whose file names stay in the encoding of its locale.
APPLICATION = """
import asyncio, json, sys
from crypto_lakehouse import run_collection
report = asyncio.run(run_collection(json.loads(sys.argv[1])))
print(json.dumps([report.totals, report.problems[0].reason]))
"""


def run(folder: Path, locale: str, *arguments: str, wanted: int = 0) -> str:
    """Run the command in a locale; return its standard output, as bytes that are UTF-8 or not."""
    hidden = ("LC_ALL", "LANG", "PYTHONIOENCODING", "PYTHONUTF8")
    environment = {name: text for name, text in os.environ.items() if name not in hidden}
    ended = subprocess.run(
        [sys.executable, "-m", "crypto_lakehouse", *arguments],
        cwd=folder,
        env={**environment, **LOCALES[locale]},
        capture_output=True,
        check=False,
    )
    said = (ended.stdout + ended.stderr).decode(errors="backslashreplace")
    assert ended.returncode == wanted, said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("locale", LOCALES)
def test_a_symbol_has_its_own_name_on_disk_in_every_locale(
    archive_server: ArchiveServer, tmp_path: Path, locale: str
) -> None:
    command = ("collect", "-o", "out", *SELECTED, "--source-url", archive_server.url)
    said = run(tmp_path, locale, *command, "--processes", "2", "--json")
    assert json.loads(said.splitlines()[-1])["totals"]["verified"] == 2
    assert (tmp_path / "out" / KEY).is_file()
    assert json.loads(run(tmp_path, locale, *command, "--json"))["totals"]["unchanged"] == 2


@pytest.mark.parametrize("locale", LOCALES)
def test_every_command_takes_it_in_every_locale(
    archive_server: ArchiveServer, tmp_path: Path, locale: str
) -> None:
    command = ("collect", "-o", "out", *SELECTED, "--source-url", archive_server.url)
    run(tmp_path, locale, *command)
    for arguments, wanted in COMMANDS:
        run(tmp_path, locale, *arguments, wanted=wanted)
    assert (tmp_path / f"{SYMBOL}.zip").read_bytes() == (tmp_path / "out" / KEY).read_bytes()
    assert KEY in (tmp_path / "sums").read_text(encoding="utf-8")
    assert (tmp_path / f"files/spot/klines/interval=1h/symbol={SYMBOL}").is_dir()
    (tmp_path / "out" / KEY).write_bytes(b"")
    assert "1 damaged" in run(tmp_path, locale, "verify", "-o", "out", wanted=4)
    repair = ("verify", "-o", "out", "--repair", "--source-url", archive_server.url)
    assert "1 repaired, 0 not" in run(tmp_path, locale, *repair)


def test_an_application_in_such_a_locale_is_told_what_to_set(
    archive_server: ArchiveServer, tmp_path: Path
) -> None:
    config = {
        "output_directory": str(tmp_path), "source_url": archive_server.url, "markets": ["spot"],
        "symbols": [SYMBOL, "BTCUSDT"], "data_types": ["trades"], "default_date": "2025-07-15",
        "discovery": "calendar",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", APPLICATION, json.dumps(config)],
        env={**os.environ, **LOCALES["ASCII"]},
        capture_output=True,
        check=True,
    )
    totals, reason = json.loads(ended.stdout)
    assert (totals["verified"], totals["failed"]) == (1, 1)
    assert "set the variable PYTHONUTF8=1 before Python starts" in reason
