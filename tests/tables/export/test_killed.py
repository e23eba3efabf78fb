"""An export that is killed is continued by the next one; memory does not grow with the rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from attrs import evolve
from tests.tables.export.lakes import add
from tests.tables.sample_data import bars, month_of

from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.export import ordered
from crypto_lakehouse.tables.export.export import export_lake
from crypto_lakehouse.tables.export.record import RECORD
from crypto_lakehouse.tables.export.targets import target_named
from crypto_lakehouse.tables.export.units import ExportSelection

#: Exports, and ends with SIGKILL when the second file is to get its name, or has got it.
_PROGRAM = """
import os, signal, sys
from crypto_lakehouse.stores.whole_file import PartFile
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.export import ordered
from crypto_lakehouse.tables.export.export import export_lake
commit, count = PartFile.commit, 0
def killed(part):
    global count
    count += "jsonl" not in part.target.name
    if count == 2 and sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    commit(part)
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
PartFile.commit = killed
with Lake.open(sys.argv[1]) as lake:
    export_lake(lake, "csv", sys.argv[2])
"""


@pytest.mark.usefixtures("uncovered_children")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_export_is_continued(root: Path, tmp_path: Path, when: str) -> None:
    to = tmp_path / "to"
    with Lake.open(root / "lake") as lake:
        wanted = export_lake(lake, "csv", tmp_path / "wanted").written
    command = [sys.executable, "-c", _PROGRAM, str(root / "lake"), str(to), when]
    assert subprocess.run(command, check=False).returncode == -9
    with (to / RECORD).open("a") as file:
        file.write('{"unit": "a line that is not com')
    with Lake.open(root / "lake") as lake:
        # One of other series does not forget what the killed one has written.
        export_lake(lake, "csv", to, ExportSelection(symbols=["ETHUSDT"], start="2024-01-01"))
        done = export_lake(lake, "csv", to)
        before = 2 if when == "before" else 3
        assert (len(done.written), done.unchanged) == (len(wanted) - before, before)
        assert export_lake(lake, "csv", to).written == ()
    assert [*to.rglob("*.part")] == []
    for path in wanted:
        assert (to / path).read_bytes() == (tmp_path / "wanted" / path).read_bytes()


@pytest.mark.parametrize("target", ["freqtrade", "nautilus"])
def test_memory_does_not_grow_with_the_range(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six data files of a month each take as much as two."""
    months = [evolve(month_of(bars(date(2023, month, 1), interval="15m"))) for month in range(1, 7)]
    add(tmp_path, *months)
    monkeypatch.setattr(ordered, "BATCH_ROWS", 256)
    peaks: list[int] = []
    kind = type(target_named(target))
    write = kind.write

    def watched(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            peaks[-1] = max(peaks[-1], pa.total_allocated_bytes())
            yield batch

    monkeypatch.setattr(
        kind,
        "write",
        lambda self, unit, form, batches, file: write(self, unit, form, watched(batches), file),
    )
    with Lake.open(tmp_path / "lake") as lake:
        for end in ("2023-02", "2023-06"):
            peaks.append(0)
            export_lake(lake, target, tmp_path / end, ExportSelection(end=f"{end}-28"))
    assert peaks[1] < 2 * peaks[0]
