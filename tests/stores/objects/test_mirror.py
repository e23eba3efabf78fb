"""Another program compares a bucket with a directory into which the same was collected."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.bucket import Bucket
from tests.services.fault_proxy import FaultProxy
from tests.services.installed import program
from tests.stores.objects.scene import KEYS, Scene, large_source

from crypto_lakehouse import run_collection
from crypto_lakehouse.testing import ArchiveServer


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveServer]:
    with large_source() as server:
        yield server


@pytest.fixture(params=["ministack_bucket", "rclone_bucket"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Bucket)
    return found


async def test_rclone_finds_no_difference(
    source: ArchiveServer, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.give_credentials(monkeypatch)
    url, mirror = bucket.fresh_prefix(), tmp_path / "mirror"
    scene = Scene(source, FaultProxy(""), bucket, bucket, url, tmp_path / "state")
    assert (await scene.collect()).status == "complete"
    local = scene.config(output_directory=str(mirror))
    del local["storage"], local["state_directory"]
    assert (await run_collection(local)).status == "complete"

    assert check(bucket, url, mirror) == (0, "0 differences found", 2 * len(KEYS))
    (mirror / KEYS[0]).write_bytes((mirror / KEYS[1]).read_bytes())
    assert check(bucket, url, mirror)[:2] == (1, "1 differences found")


def check(bucket: Bucket, url: str, mirror: Path) -> tuple[int, str, int]:
    """Let rclone compare the bytes; return exit code, differences and how many files agree."""
    environment = {
        **os.environ,
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Other",
        "RCLONE_CONFIG_STORE_ENDPOINT": bucket.storage["endpoint"],
        "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": bucket.environment["AWS_ACCESS_KEY_ID"],
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": bucket.environment["AWS_SECRET_ACCESS_KEY"],
    }
    command = [str(program("rclone")), "check", "--config", "", "--download", "--combined", "-"]
    place = f"store:{url.removeprefix('s3://')}/data"
    done = subprocess.run(
        [*command, place, str(mirror / "data")],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    (said,) = re.findall(r"\d+ differences found", done.stderr)[:1] or [done.stderr]
    return done.returncode, said, len(re.findall(r"^= ", done.stdout, re.MULTILINE))
