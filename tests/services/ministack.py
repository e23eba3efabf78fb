"""ministack: an S3 server that checks conditions and checksums, and no signatures."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.services.bucket import Bucket
from tests.services.installed import program
from tests.services.running import free_port, running

__all__ = ["ministack"]

_BUCKET = "archive"


@contextmanager
def ministack(folder: Path) -> Iterator[Bucket]:
    """Run ministack with an empty bucket.

    Args:
        folder: For its files.
    """
    port = free_port()
    environment = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3"}
    log = folder / "ministack.log"
    with running([str(program("ministack"))], port, log, environment=environment):
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("PUT", f"/{_BUCKET}")
            assert connection.getresponse().status == 200
        yield Bucket(
            f"s3://{_BUCKET}",
            {"endpoint": f"http://127.0.0.1:{port}"},
            {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"},
        )
