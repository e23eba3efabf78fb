"""Where queries put their temporary files, and that nothing of them stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.lake.connection import open_connection
from crypto_lakehouse.tables.lake.spill import release_spill_folder, spill_folder
from crypto_lakehouse.tables.lake.sql import QuerySession

#: Sorting these rows takes more memory than LIMIT allows.
LARGE = "SELECT i, repeat('x' || i, 20) s FROM range(600000) t(i) ORDER BY s DESC"
LIMIT = "SET memory_limit = '90MB'; SET threads = 1"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake, and a working directory beside it."""
    root = tmp_path / "it's a lake"
    catalog = LakeCatalog(root, create=True)
    ingest(catalog, [put(tmp_path / "out", bars(date(2023, 7, 1)))], IngestSettings())
    catalog.close()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return root


def files_below(root: Path) -> set[str]:
    return {path.name for path in root.rglob("duckdb_temp_*")}


def test_temporary_files_are_in_the_lake_and_go_with_the_session(root: Path) -> None:
    with Lake.open(root) as lake:
        session = QuerySession(lake)
        session.connection.execute(LIMIT)
        reader = session.sql(LARGE).to_arrow_reader(1000)
        reader.read_next_batch()
        assert files_below(root / "spill")
        assert list(Path.cwd().iterdir()) == []
        del reader
        session.close()
    assert not files_below(root)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_a_lake_on_a_file_system_without_locks_is_queried(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = Path(spill_folder(root))
    assert folder.parent.is_dir()
    assert not folder.is_relative_to(root)


KILLED = f"""
import os, signal, sys
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.lake.sql import QuerySession
session = QuerySession(Lake.open(sys.argv[1]))
session.connection.execute("{LIMIT}")
session.sql("{LARGE}").to_arrow_reader(1000).read_next_batch()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(root)], check=False)
    assert done.returncode == -9
    assert files_below(root / "spill")
    held = root / "spill" / "of another process"
    held.mkdir()
    (root / "spill" / "a file").touch()
    with FileLock(held / "lock"):
        code = "import sys; from crypto_lakehouse.tables import Lake; print(len(Lake.open(" \
               "sys.argv[1]).sql('FROM spot.klines').fetchall()))"  # fmt: skip
        done = subprocess.run([sys.executable, "-c", code, str(root)], check=True)
        assert not files_below(root / "spill")
        left = sorted(path.name for path in (root / "spill").iterdir())
        assert left == ["a file", "lock", "of another process"]


def test_a_lake_that_cannot_be_written_to_is_queried_all_the_same(
    root: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "spill").symlink_to(elsewhere)
    with Lake.open(root) as lake:
        session = QuerySession(lake)
        folder = session.sql("SELECT current_setting('temp_directory')").fetchall()[0][0]
        assert "crypto-lakehouse-" in folder
        assert Path(folder).parent.stat().st_mode & 0o777 == 0o700
        session.close()
    assert not Path(folder).parent.exists()
    assert list(elsewhere.iterdir()) == []


def test_a_forked_process_has_a_directory_of_its_own(root: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from crypto_lakehouse.tables.lake.spill import spill_folder\n"
        "mine = Path(spill_folder(Path(sys.argv[1]))).parent\n"
        "child = os.fork()\n"
        "if child == 0: sys.exit(Path(spill_folder(Path(sys.argv[1]))).parent == mine)\n"
        "assert os.waitpid(child, 0)[1] == 0 and mine.is_dir()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(root)], check=True)
    assert not (root / "spill").exists()


QUERY = (
    "import sys; from crypto_lakehouse.tables import Lake\n"
    "print(len(Lake.open(sys.argv[1]).sql('FROM spot.klines').fetchall()))"
)


def test_the_last_process_removes_the_directory(root: Path) -> None:
    home, before = root / "spill", sorted(root.rglob("*"))
    script = (
        "import sys; from pathlib import Path; from filelock import FileLock\n"
        "from crypto_lakehouse.tables.lake.spill import spill_folder\n"
        "spill_folder(Path(sys.argv[1])); print('made', flush=True); sys.stdin.read()\n"
    )
    ending = subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert ending.stdout is not None
    assert ending.stdout.readline() == b"made\n"
    with FileLock(home / "lock"):
        ending.communicate()
        assert ending.returncode == 0
        assert [path.name for path in home.iterdir()] == ["lock"]
    # This one starts when the other ends: the directory is in use, and stays for it to remove.
    subprocess.run([sys.executable, "-c", QUERY, str(root)], check=True)
    assert sorted(root.rglob("*")) == before


def test_sessions_that_start_and_end_at_once_each_have_a_directory_in_the_lake(root: Path) -> None:
    # Each round makes a directory and removes it, while another process does the same.
    script = (
        "import sys; from pathlib import Path\n"
        "from crypto_lakehouse.tables.lake.spill import release_spill_folder, spill_folder\n"
        "root = Path(sys.argv[1]).resolve()\n"
        "for _ in range(100):\n"
        "    path = spill_folder(root)\n"
        "    folder = Path(path).parent\n"
        "    assert folder.parent == root / 'spill', folder\n"
        "    assert (folder / 'lock').exists()\n"
        "    release_spill_folder(path)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, str(root)]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert not (root / "spill").exists()


def test_a_directory_that_vanishes_while_it_is_made_is_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = Path.mkdir, []

    def removed_by_another_process(path: Path, *arguments: Any, **options: Any) -> None:
        make(path, *arguments, **options)
        if path.name == "spill":
            made.append(path)
            if len(made) <= 4:
                path.rmdir()
            if len(made) <= 2:  # what `mkdir` raises if it finds the directory, and then no more
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))

    monkeypatch.setattr(Path, "mkdir", removed_by_another_process)
    path = spill_folder(root)
    assert Path(path).is_relative_to(root / "spill")
    assert len(made) >= 5
    release_spill_folder(path)


def test_the_last_session_removes_the_directory(root: Path) -> None:
    with Lake.open(root) as lake:
        first, second = QuerySession(lake), QuerySession(lake)
        assert first.sql("SELECT count(*) > 0 FROM spot.klines").fetchall() == [(True,)]
        first.close()
        first.close()
        assert (root / "spill").is_dir()
        second.close()
        assert not (root / "spill").exists()


def test_connections_without_a_lake_have_the_system_s_directory() -> None:
    connection = open_connection()
    folder = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
    connection.close()
    assert Path(folder).is_absolute()
    assert Path(folder).parent.is_dir()
