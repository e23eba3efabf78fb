"""`daemon`: pipelines by their schedules, as a process of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.cli.conftest import Shell, Start
from tests.cli.pipeline_file import change, pipeline_file

from crypto_lakehouse.testing import ArchiveServer

pytest.importorskip("cronsim", reason="the extra `daemon` is not installed")


@pytest.fixture
def file(archive_server: ArchiveServer, tmp_path: Path) -> Path:
    """A file with a pipeline that is due once a year."""
    yearly = {"schedule": "0 0 29 2 *", "steps": {"collect": {}}}
    return pipeline_file(tmp_path, archive_server, yearly=yearly)


def test_it_works_until_it_is_stopped_and_reads_its_file_again(file: Path, start: Start) -> None:
    process = start(["daemon", str(file)])
    assert process.stderr is not None
    assert "Z yearly: is due at " in process.stderr.readline()
    second = start(["daemon", str(file)])
    assert "daemon.lock" in second.communicate(timeout=60)[1]
    assert second.returncode == 11
    change(file, yearly={"schedule": "0 0 31 2 *", "steps": {"colect": {}}})
    process.send_signal(signal.SIGHUP)
    assert "Z the configuration is not taken: " in process.stderr.readline()
    faults = [process.stderr.readline() for _ in range(2)]  # each line has the time
    assert [each[19:24] for each in faults] == ["Z   $"] * 2
    change(file, often={"every": "1h", "steps": {"collect": {}}})
    process.send_signal(signal.SIGHUP)
    found = ""
    while "often: is due at" not in found:
        line = process.stderr.readline()
        assert line
        found += line
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Z stopping; what is done is kept" in err
    assert out == ""


def test_a_dry_run_shows_the_next_times(file: Path, shell: Shell) -> None:
    code, out, _ = shell("daemon", str(file), "--dry-run")
    assert code == 0
    assert "2028-02-29T00:00:00Z" in out
    assert [*file.parent.iterdir()] == [file]


def test_all_faults_are_named_and_nothing_begins(file: Path, shell: Shell) -> None:
    steps = {"collect": {"with": {"max_retries": 99}}, "inges": {}}
    change(file, yearly={"schedule": "0 0 31 2 *", "steps": steps})
    code, out, err = shell("daemon", str(file))
    assert (code, out) == (2, "")
    assert "$.pipelines.yearly.schedule: `0 0 31 2 *` is no cron expression, or names a day" in err
    assert "$.pipelines.yearly.steps.collect.with.max_retries: must be at most 20" in err
    assert "$.pipelines.yearly.steps.inges: unknown step `inges`" in err
    change(file, yearly={"steps": {"collect": {"with": {"max_retries": 99}}}})
    err = shell("daemon", str(file))[2]
    assert "$.pipelines: none has a schedule; add one" in err
    assert "$.pipelines.yearly.steps.collect.with.max_retries: must be at most 20" in err
    assert [*file.parent.iterdir()] == [file]
