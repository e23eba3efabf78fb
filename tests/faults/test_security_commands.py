"""No secret appears on the screen or in the files of a command."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import SELECTION, Shell
from tests.faults.secret_faults import (
    ECHO,
    FAULTS,
    LISTINGS,
    PASSWORD,
    SIGNATURE,
    SIGNED,
    check,
    inject,
    timeout_of,
    with_user,
)

from crypto_lakehouse.testing import ArchiveServer


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """The command in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


COMMAND = ["collect", "-o", "out", *SELECTION, "-i", "1h", "--events", "events.jsonl"]
FORMS = [("--json", "--log-format", "json"), ("--log-format", "text", "--strict"), ("--quiet",)]


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
@pytest.mark.parametrize("name", FAULTS)
def test_the_command_shows_no_secret(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path, name: str, form: tuple[str, ...]
) -> None:
    inject(archive_server, *FAULTS[name])
    retries = "1" if name == "503 for *.zip" else "0"  # each retry takes its time
    _, out, err = shell(
        *COMMAND, "--source-url", with_user(archive_server), *form,
        "--max-retries", retries, "--timeout-seconds", str(timeout_of(name)),
    )  # fmt: skip
    check([out, err], tmp_path)
    # A busy machine may be silent itself for so long that no request is sent.
    assert archive_server.requests or name == "silence"


@pytest.mark.parametrize("name", LISTINGS)
def test_the_command_shows_no_secret_of_a_listing(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path, name: str
) -> None:
    archive_server.inject("list:*", LISTINGS[name], endless=True)
    address = with_user(archive_server)
    for command in (COMMAND, ["plan", "-o", "out", *SELECTION]):
        code, out, err = shell(
            *command, "--source-url", address, "--listing-url", address,
            "--max-retries", "0", "--discovery", "listing",
        )  # fmt: skip
        assert code in {0, 5}
        check([out, err], tmp_path)


def test_the_command_shows_no_secret_of_a_fault_of_ours(
    shell: Shell, archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError(ECHO.decode())

    monkeypatch.setattr(
        "crypto_lakehouse.workflows.wiring.collection_pipeline.run_pipeline", break_down
    )
    code, out, err = shell(*COMMAND, "--source-url", with_user(archive_server))
    assert code == 1
    assert "Traceback" in err
    check([out, err])


def test_a_configuration_that_is_refused_shows_no_secret(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"source_url: http://me:{PASSWORD}@h\nsource_url: token={SIGNATURE}\n"
    )
    for arguments in (
        ["--source-url", f"http://me:{PASSWORD}@mirror.example"],
        ["--source-url", f"https://mirror.example/?{SIGNED}"],
        ["--listing-url", f"ftp://me:{PASSWORD}@mirror.example"],
        ["--config", "c.yaml"],
        ["--max-retries", f"token={SIGNATURE}"],
        ["--markets", f"https://me:{PASSWORD}@h"],
    ):
        code, out, err = shell(*COMMAND, *arguments)
        assert code == 2
        check([out, err])


def test_a_source_without_tls_needs_an_option(shell: Shell, tmp_path: Path) -> None:
    address = f"http://me:{PASSWORD}@mirror.example"
    command = ("plan", "-o", "out", *SELECTION, "--discovery", "calendar", "--source-url", address)
    code, _, err = shell(*command)
    assert code == 2
    assert "--source-url" in err
    assert "`allow_http: true`" in err
    code, out, err = shell(*command, "--allow-http")
    assert code == 0, err
    check([out, err], tmp_path)


@pytest.mark.parametrize("command", ["bench", "matrix refresh"])
def test_other_commands_need_that_option_as_well(shell: Shell, command: str) -> None:
    words = [*command.split(), "--source-url", "http://mirror.invalid"]
    code, _, err = shell(*words)
    assert code == 2
    assert "allow_http" in err
    code, _, err = shell(*words, "--allow-http", "--timeout-seconds=0")
    assert code == 2
    assert "allow_http" not in err


def test_words_that_are_not_understood_show_no_secret(shell: Shell) -> None:
    code, _, err = shell("collect", f"https://me:{PASSWORD}@example.org")
    assert code == 2
    assert "example.org" in err
    assert PASSWORD not in err
