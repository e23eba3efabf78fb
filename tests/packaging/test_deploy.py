"""The files of `deploy/` are valid, agree with each other, and run what the program takes.

Linters, schemas and systemd check them; what the Dockerfile runs is run in another place.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.documentation.collector import commands
from tests.services.installed import program

from crypto_lakehouse.cli.main import cli
from crypto_lakehouse.workflows.pipelines.declared import load_pipelines

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
PROGRAM = "/opt/crypto-lakehouse/bin/crypto-lakehouse"
FILE = "/etc/crypto-lakehouse/pipelines.yaml"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what follows each, in one line."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name]


def manifests() -> dict[str, Any]:
    text = (DEPLOY / "kubernetes" / "cronjob.yaml").read_text()
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def pod() -> dict[str, Any]:
    found: dict[str, Any] = manifests()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"][
        "spec"
    ]
    return found


def service() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return dict(found["services"]["daemon"])


def run(tool: str, *arguments: str | Path) -> str:
    """Run a checker of its own environment, which must find nothing.

    Returns:
        What it printed.
    """
    python = program("checkers")
    called = [python, "-m", tool] if "_" in tool else [python.with_name(tool)]
    done = subprocess.run(
        [*called, *arguments], check=False, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def command_lines() -> dict[str, list[str]]:
    """What each file runs, without the program."""
    found = {
        unit.name: shlex.split(line)[1:]
        for unit in UNITS
        for line in re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    }
    assert len(found) == 2
    return {
        **found,
        "compose.yaml": service()["command"],
        "cronjob.yaml": pod()["containers"][0]["args"],
    }


@pytest.mark.parametrize(("place", "words"), command_lines().items())
def test_what_is_run_is_a_command_on_the_file_that_is_there(place: str, words: list[str]) -> None:
    name, *arguments = words
    with commands()[name].make_context(
        name, arguments, parent=cli.make_context("", [name])
    ) as read:
        assert read.params["file"] == FILE


@pytest.mark.parametrize("place", ["pipelines.yaml", "cronjob.yaml"])
def test_the_pipelines_are_valid_and_have_what_is_run(place: str, tmp_path: Path) -> None:
    text = (DEPLOY / "pipelines.yaml").read_text()
    if place == "cronjob.yaml":
        text = manifests()["ConfigMap"]["data"]["pipelines.yaml"]
    file = tmp_path / "pipelines.yaml"
    file.write_text(text)

    async def check() -> set[str]:
        found = await load_pipelines(file)
        for each in found.pipelines.values():
            await found.ready(each)
        return {*found.pipelines}

    assert "nightly" in asyncio.run(check())


def test_the_image_runs_as_the_user_of_the_manifest_without_rights() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    user = dict(instructions())["USER"]
    assert user == "10001:10001"
    assert "--uid 10001 --gid 10001" in text
    context, container = pod()["securityContext"], pod()["containers"][0]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == (
        10001,
        10001,
        True,
    )
    assert container == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                         "capabilities": {"drop": ["ALL"]}}  # fmt: skip
    assert service()["cap_drop"] == ["ALL"]
    assert service()["read_only"] is True


def test_data_are_in_the_same_directory_everywhere() -> None:
    place = dict(instructions())["WORKDIR"]
    assert pod()["containers"][0]["volumeMounts"][0]["mountPath"] == place
    assert f"data:{place}" in service()["volumes"]
    for unit in UNITS:
        if unit.suffix == ".service":
            assert f"StateDirectory={Path(place).name}\nWorkingDirectory=%S/" in unit.read_text()


def test_the_image_gets_what_it_copies() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY"]
    sources = {
        each.rstrip("/") for words in copied for each in words if not words[0].startswith("--")
    }
    assert sources == allowed
    assert all((ROOT / each).exists() for each in sources)


def test_linters_and_schemas_accept_the_files() -> None:
    run("hadolint", DEPLOY / "Dockerfile")
    run("check_jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    said = run("kubernetes_validate", "--strict", DEPLOY / "kubernetes" / "cronjob.yaml")
    assert said.count("passed") == len(manifests()) == 3


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze IS NOT INSTALLED: the units are NOT verified")
    for unit in UNITS:
        text = unit.read_text()
        assert unit.suffix == ".timer" or PROGRAM in text
        (tmp_path / unit.name).write_text(text.replace(PROGRAM, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        check=False, capture_output=True, text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    of_units = [line for line in done.stderr.splitlines() if "crypto-lakehouse" in line]
    assert (done.returncode, of_units) == (0, []), done.stderr


@pytest.mark.timeout(900)
def test_what_the_dockerfile_runs_makes_the_program(tmp_path: Path) -> None:
    """Without Docker: in a directory of this machine, with the requirements of the small image."""
    build, made = tmp_path / "build", tmp_path / "made"
    build.mkdir()
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                into = (
                    build / target if source.endswith("/") else build / target / Path(source).name
                )
                copy = shutil.copytree if source.endswith("/") else shutil.copyfile
                into.parent.mkdir(parents=True, exist_ok=True)
                copy(ROOT / source, into)
        elif name == "RUN" and "pip" in rest:
            line = rest.replace("/opt/crypto-lakehouse", str(made))
            done = subprocess.run(
                ["sh", "-ec", re.sub(r"^python", sys.executable, line)], cwd=build, text=True,
                env={**os.environ, "REQUIREMENTS": "runtime", "PIP_NO_COMPILE": "1"},
                check=False, capture_output=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
    said = subprocess.run(
        [made / "bin" / "crypto-lakehouse", "run", DEPLOY / "pipelines.yaml", "nightly"],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert said.returncode == 2
    assert "crypto-lakehouse[tables]" in said.stderr, "the small image has no tables"
