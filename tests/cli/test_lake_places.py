"""Places that cannot hold a lake are refused before anything is collected, in every command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.cli.conftest import Shell, collect
from tests.unwritable import as_somebody, mounted_read_only

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_places import check_writable_place

BYTES = os.fsdecode(b"not-\xff-text")

LAKE = Path("out/.lakehouse/lake")


def link_out() -> None:
    LAKE.parent.mkdir(parents=True)
    Path("elsewhere").mkdir()
    LAKE.symlink_to(Path("elsewhere").resolve())


def file_in_place() -> None:
    LAKE.parent.mkdir(parents=True)
    LAKE.touch()


def folder_in_place_of_lock() -> None:
    Path("lake/lock").mkdir(parents=True)


def lock_with_two_names() -> None:
    Path("lake").mkdir()
    Path("lake/lock").touch()
    os.link("lake/lock", "other")


def in_data() -> None:
    Path("other/data").mkdir(parents=True)
    Path("other/.lakehouse").mkdir()


def in_warehouse() -> None:
    Path("other/warehouse/spot/klines").mkdir(parents=True)
    Path("other/catalog.db").touch()


#: Places, by what is wrong: how they are made, the options that name them, and what is said.
PLACES: dict[str, tuple[Callable[[], object], list[str], str]] = {
    "an output that is no text": (lambda: None, ["-o", BYTES], "is not valid UTF-8"),
    "a lake that is no text": (lambda: None, ["--lake", BYTES], "is not valid UTF-8"),
    "below a folder that is no text": (lambda: None, ["--lake", f"{BYTES}/lake"], "valid UTF-8"),
    "a link out of the output": (link_out, [], "leads out of"),
    "a file": (Path("file").touch, ["--lake", "file"], "file"),
    "below a file": (Path("file").touch, ["--lake", "file/lake"], "file"),
    "a file in the output": (file_in_place, [], "lake"),
    "a folder in place of the lock": (folder_in_place_of_lock, ["--lake", "lake"], "lock"),
    "in the data of an output": (in_data, ["--lake", "other/data/x"], "in `data` of the output"),
    "in the warehouse of another lake": (
        in_warehouse, ["--lake", "other/warehouse/spot/klines/x"], "in `warehouse` of the lake"
    ),
    "a lock with two names": (lock_with_two_names, ["--lake", "lake"], "2 names"),
}  # fmt: skip


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archives of a day."""
    from crypto_lakehouse.cli.main import main

    root = tmp_path_factory.mktemp("collected")
    with ArchiveServer() as server, pytest.raises(SystemExit):
        main(collect(server, "-q", "-o", str(root)))
    shutil.rmtree(root / ".lakehouse")
    return root


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_collected_for_a_place_that_cannot_hold_a_lake(
    archive_server: ArchiveServer,
    shell: Shell,
    place: str,
    collected: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, options, words = PLACES[place]
    make()
    before = sorted(Path().rglob("*"))
    with monkeypatch.context() as environment:
        if options[:1] == ["--lake"]:
            environment.setenv("CRYPTO_LAKEHOUSE_LAKE_LAKE", options[1])
        own = options if options[:1] == ["-o"] else []
        code, _, err = shell(*collect(archive_server, "--ingest", *own))
    assert (code, words in err) == (2, True), err
    assert archive_server.requests == []
    assert sorted(Path().rglob("*")) == before
    # What was collected before is refused alike.
    output = options[1] if options[:1] == ["-o"] else "out"
    shutil.copytree(collected, output, dirs_exist_ok=True)
    code, _, err = shell("ingest", "-o", "out", *options)
    assert (code, words in err) == (2, True), err


@pytest.mark.parametrize("make", [in_data, in_warehouse])
def test_no_lake_is_copied_into_another_one(shell: Shell, make: Callable[[], object]) -> None:
    make()
    before = sorted(Path().rglob("*"))
    place = "other/data/x" if make is in_data else "other/warehouse/x"
    relocate = ["lake", "relocate", "-o", "out", "--lake", place, "--from", "absent"]
    code, _, err = shell(*relocate)
    assert (code, "use another place" in err) == (2, True), err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("option", ["-o", "--lake"])
@pytest.mark.parametrize(
    "command",
    [["query", "SELECT 1"], ["lake", "tables"], ["lake", "verify"], ["lake", "relocate"],
     ["lake", "compact"]],
    ids=" ".join,
)  # fmt: skip
def test_a_place_that_is_no_text_is_no_lake_for_any_command(
    shell: Shell, command: list[str], option: str
) -> None:
    lake = Path(BYTES) / LAKE.relative_to("out") if option == "-o" else Path(BYTES)
    lake.mkdir(parents=True)
    Path("out").mkdir()
    (lake / "catalog.db").touch()
    code, _, err = shell(*command, "-o", "out", option, BYTES)
    named = "--output" if option == "-o" else option
    assert code == 2
    assert f"{named}: `" in err
    assert "is not valid UTF-8" in err


def test_a_lake_that_is_there_is_no_fault(
    archive_server: ArchiveServer, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LAKE_LAKE", "new/lake")
    for _ in range(2):
        assert shell(*collect(archive_server, "--ingest", "-q"))[0] == 0


@pytest.mark.parametrize(
    ("limited", "reason"),
    [(lambda _folder: as_somebody(), "Permission denied; let this user"),
     (mounted_read_only, "Read-only file system; make it writable")],
    ids=["another user's", "read-only"],
)  # fmt: skip
@pytest.mark.parametrize("lake", ["there", "there/new/lake", "locked"])
def test_a_place_that_this_user_may_not_write_is_refused(
    limited: Callable[[Path], AbstractContextManager[None]], reason: str, lake: str
) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place).resolve()
        folder.chmod(0o755)
        (folder / "there").mkdir()
        (folder / "locked").mkdir(mode=0o777)
        (folder / "locked" / "lock").touch(mode=0o644)
        config = LakeConfig(output_directory=str(folder / "out"), lake=str(folder / lake))
        check_writable_place(config)
        with limited(folder), pytest.raises(ConfigurationError) as refused:
            check_writable_place(config)
        (problem,) = refused.value.problems
        assert problem.path == "$.lake"
        assert f"cannot be written: {reason}" in problem.message
        assert "choose another directory for the tables" in problem.message
