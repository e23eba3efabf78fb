"""rclone's S3 server: checks signatures and MD5, and ignores every condition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.bucket import Bucket
from tests.services.installed import program
from tests.services.running import free_port, running

__all__ = ["rclone"]

_BUCKET = "archive"
_KEY = "testkey"
_SECRET = "testsecret"


@contextmanager
def rclone(folder: Path) -> Iterator[Bucket]:
    """Run `rclone serve s3` with an empty bucket.

    Args:
        folder: For its files; the bucket's objects are below `buckets/`.
    """
    port = free_port()
    buckets = folder / "buckets"
    (buckets / _BUCKET).mkdir(parents=True)
    command = [str(program("rclone")), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--config", "", "--auth-key", f"{_KEY},{_SECRET}", str(buckets)]
    with running(command, port, folder / "rclone.log"):
        yield Bucket(
            f"s3://{_BUCKET}",
            {"endpoint": f"http://127.0.0.1:{port}"},
            {"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _SECRET},
        )
