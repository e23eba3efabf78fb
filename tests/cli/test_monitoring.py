"""`--serve` and `--metrics-textfile` of the commands that run, and what they print."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from tests.cli.conftest import SELECTION, Shell

from crypto_lakehouse.testing import ArchiveServer


@pytest.fixture
def collect(archive_server: ArchiveServer, tmp_path: Path) -> list[str]:
    return ["collect", "-o", str(tmp_path / "data"), *SELECTION, "-i", "1h", "--discovery",
            "calendar", "--source-url", archive_server.url, "-q"]  # fmt: skip


def test_each_command_writes_its_metrics_and_says_where_they_are(
    shell: Shell, collect: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "lake.prom"
    place = ["-o", str(tmp_path / "data"), "--metrics-textfile", str(file)]
    watched = [*place[2:], "--serve", "0"]
    verified = 'archives_total{data_type="klines",market="spot",verdict="verified"} 1'
    for command, sample in (
        ([*collect, *watched], verified),
        (["ingest", *place, "-q", "--serve", "0"], 'lake_rows_total{table="spot.klines"} 24'),
        (["verify", *place, "-q", "--serve", "0"], 'checked_files_total{state="ok"} 1'),
    ):  # fmt: skip
        code, _, err = shell(*command)
        assert code == 0, err
        url = r"http://127\.0\.0\.1:\d+"
        assert re.search(f"^note: metrics are at {url}/metrics, and a live page at {url}/\n", err)
        assert f"crypto_lakehouse_{sample}.0" in file.read_text()
    code, _, err = shell("verify", *place, "-q", "--serve", "127.0.0.1:65536")
    assert code == 2
    assert "--serve: `port` must be 0 to 65535, not `65536`" in err


def test_a_named_port_is_only_said_if_anything_is(
    shell: Shell, collect: list[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
        code, _, err = shell(*collect, "--serve", port, "--metrics-textfile", "/nowhere/a.prom")
        assert code == 2
        assert f"--serve: port {port} of `127.0.0.1` cannot be listened on" in err
        assert "--metrics-textfile: `/nowhere/a.prom` cannot be written" in err
    assert not (tmp_path / "data").exists()
    assert "metrics are at" not in shell(*collect, "--serve", port)[2]


def test_what_cannot_be_opened_is_named_beside_the_faults_of_a_file(
    shell: Shell, tmp_path: Path
) -> None:
    pytest.importorskip("cronsim", reason="the extra `daemon` is not installed")
    file, steps = tmp_path / "faulty.json", {"collect": {"needs": "ingest"}}
    faulty = {"every": "1h", "steps": {**steps, "ingest": {"needs": "collect"}, "colect": {}}}
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        values = {"output_directory": "data", "freshness": {"spot/kline": "36h"},
                  "serve": {"port": port}, "metrics_textfile": "/nowhere/a.prom",
                  "pipelines": {"hourly": faulty}}  # fmt: skip
        file.write_text(json.dumps(values))
        of_pipelines = ["unknown step `colect`", "collect -> ingest -> collect"]
        for command, others in (
            (["run", str(file)], of_pipelines),
            (["daemon", str(file)], of_pipelines),
            (["collect", "--config", str(file)], ["$.freshness"]),
            (["fill", "--config", str(file)], ["$.freshness"]),
            (["record", "--config", str(file)], ["$.freshness"]),
            (["ingest", "--config", str(file), "--workers", "0"], ["--workers"]),
        ):
            code, _, err = shell(*command)
            assert code == 2, command
            named = [f"port {port} of `127.0.0.1` cannot be listened on", "`/nowhere/a.prom`"]
            assert [each for each in (*named, *others) if each not in err] == [], err
            assert err.count("cannot be listened on") == 1
        assert "listened" not in shell("run", str(file), "--dry-run")[2]
    assert [*tmp_path.iterdir()] == [file]


def test_options_without_effect_are_refused(shell: Shell, collect: list[str]) -> None:
    for more, reason in (
        (["--metrics-by-symbol"], "without --serve, --metrics-textfile or --otlp-endpoint"),
        (["--dry-run", "--serve", "0"], "with --dry-run"),
    ):
        code, _, err = shell(*collect, *more)
        assert code == 2
        assert reason in err
    assert shell("plan", "--serve", "0")[0] == 2
