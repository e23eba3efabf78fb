"""The shipped alert rules: each fires when it should, and only then, as Prometheus itself says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from tests.services.prometheus import system_program

from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.sinks.prometheus_metrics import METRICS, meter_values
from crypto_lakehouse.workflows.monitoring.shipped import shipped

CASES = Path(__file__).with_name("alert_cases.yaml")


def rules() -> list[dict[str, Any]]:
    """The shipped rules."""
    return [
        rule for group in yaml.safe_load(shipped("alerts"))["groups"] for rule in group["rules"]
    ]


def test_every_alert_fires_in_one_case_and_not_in_another() -> None:
    seen = {
        (tested["alertname"], bool(tested.get("exp_alerts")))
        for case in yaml.safe_load(CASES.read_text())["tests"]
        for tested in case["alert_rule_test"]
    }
    assert seen == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}


def test_they_fire_as_the_cases_say(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(shipped("alerts"))
    shutil.copy(CASES, tmp_path)
    for arguments in (["check", "rules", "alerts.yaml"], ["test", "rules", CASES.name]):
        command = [system_program("promtool"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_they_name_metrics_that_there_are() -> None:
    known = {spec.name for spec in (*METRICS, *(spec for spec, _ in meter_values(ByteMeter())))}
    named = set(re.findall(r"crypto_lakehouse_\w+", json.dumps(rules())))
    assert named
    assert named <= known
