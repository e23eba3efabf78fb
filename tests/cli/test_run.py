"""`run`: a pipeline of a configuration file, from the command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from tests.cli.conftest import Shell, Start
from tests.cli.pipeline_file import change, pipeline_file

from crypto_lakehouse.testing import ArchiveServer, faults


@pytest.fixture
def file(archive_server: ArchiveServer, tmp_path: Path) -> Path:
    """A file with a pipeline that collects a day, and ingests it."""
    steps = {"ingest": {"needs": "collect", "retry": {"times": 2}}, "collect": None}
    return pipeline_file(tmp_path, archive_server, nightly={"steps": steps})


def test_the_steps_run_in_order_with_one_report(file: Path, shell: Shell) -> None:
    code, out, err = shell("run", str(file))
    assert code == 0
    assert out.splitlines() == [
        "collect: complete: 1 planned, 1 verified",
        "ingest: complete: 1 archive, 24 rows",
        "nightly: complete",
    ]  # fmt: skip
    assert err.splitlines() == [
        "collect: begins", "collect: complete: 1 planned, 1 verified",
        "ingest: begins", "ingest: complete: 1 archive, 24 rows",
    ]  # fmt: skip
    code, out, err = shell("run", str(file), "nightly", "--json", "--quiet")
    found = json.loads(out)
    assert (code, err, found["status"], [*found["steps"]]) == (
        0, "", "complete", ["collect", "ingest"],
    )  # fmt: skip
    assert found["steps"]["collect"]["totals"]["unchanged"] == 1


def test_the_first_exit_code_decides(
    file: Path, shell: Shell, archive_server: ArchiveServer
) -> None:
    archive_server.inject("*.zip", faults.NotFound())
    code, out, _ = shell("run", str(file), "-q")
    assert code == 3
    assert out.splitlines()[-1] == "nightly: partial"
    steps = {"compact": {"with": {"tables": "spot.no"}}, "expire": {"needs": "compact"}}
    change(file, n={"steps": steps})
    code, out, _ = shell("run", str(file), "-q")
    assert code == 2
    assert [line.partition(": ")[2].split(":")[0] for line in out.splitlines()] == [
        "failed", "skipped", "failed",
    ]  # fmt: skip


def test_a_dry_run_shows_the_order_and_writes_nothing(file: Path, shell: Shell) -> None:
    code, out, _ = shell("run", str(file), "--dry-run")
    assert code == 0
    assert out.index("collect") < out.index("ingest")
    assert json.loads(shell("run", str(file), "--dry-run", "--json")[1]) == {
        "pipeline": "nightly",
        "steps": [
            {"step": "collect", "run": "collect", "needs": [], "retries": 0},
            {"step": "ingest", "run": "ingest", "needs": ["collect"], "retries": 2},
        ],
    }
    assert shell("run", str(file), "--dry-run", "--wait")[0] == 2
    assert [*file.parent.iterdir()] == [file]


def test_all_faults_are_named_and_nothing_begins(
    file: Path, shell: Shell, archive_server: ArchiveServer
) -> None:
    steps = {"colect": {}, "ingest": {"need": "x"}, "verify": {"with": {"serve": 99_999}}}
    circle = {"a": {"run": "fill", "needs": "b"}, "b": {"run": "fill", "needs": ["a"]}}
    change(file, n={"steps": steps | circle}, m={"steps": circle})
    code, out, err = shell("run", str(file), "n")
    assert (code, out) == (2, "")
    for text in ("unknown step `colect`", "did you mean `collect`?", "ingest.need: unknown key",
                 "$.pipelines.n.steps: they wait for each other: a -> b -> a",
                 "$.pipelines.m.steps: they wait for each other: a -> b -> a",
                 "$.pipelines.n.steps.verify.with.serve: `port` must be 0 to 65535"):  # fmt: skip
        assert text in err
    assert [*file.parent.iterdir()] == [file]
    assert not archive_server.requests


def test_sigterm_stops_the_step_that_runs(
    file: Path, start: Start, archive_server: ArchiveServer
) -> None:
    stall = faults.Stall(at=0)
    archive_server.inject("*.zip", stall)
    process = start(["run", str(file)])
    assert stall.reached.wait(60)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "stopping; what is done is kept" in err
    assert out.splitlines()[-1] == "nightly: interrupted"
