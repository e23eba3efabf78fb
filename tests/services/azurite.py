"""Azurite, the emulator of Azure Blob Storage by its vendor."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from tests.services.bucket import Bucket
from tests.services.installed import program
from tests.services.running import free_port, running

__all__ = ["azurite"]

_CONTAINER = "archive"
_ACCOUNT = "devstoreaccount1"

#: The published key of the emulator's account.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def azurite(folder: Path) -> Iterator[Bucket]:
    """Run Azurite with an empty container.

    Args:
        folder: For its output.
    """
    port = free_port()
    command = [str(program("azurite")), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with running(command, port, folder / "azurite.log"):
        _make_container(port)
        yield Bucket(
            f"az://{_CONTAINER}",
            {"account": _ACCOUNT, "endpoint": f"http://127.0.0.1:{port}/{_ACCOUNT}"},
            {"AZURE_STORAGE_ACCOUNT_KEY": _KEY},
        )


def _make_container(port: int) -> None:
    """Make the container; the client of the object stores cannot."""
    headers = {
        "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
        "x-ms-version": "2021-12-02",
    }
    named = "".join(f"{name}:{value}\n" for name, value in headers.items())
    resource = f"/{_ACCOUNT}/{_ACCOUNT}/{_CONTAINER}\nrestype:container"
    signed = ("PUT" + "\n" * 12 + named + resource).encode()
    key = base64.b64decode(_KEY)
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    headers["Authorization"] = f"SharedKey {_ACCOUNT}:{signature}"
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        path = f"/{_ACCOUNT}/{_CONTAINER}?restype=container"
        connection.request("PUT", path, headers=headers)
        response = connection.getresponse()
        assert response.status == 201, response.read().decode()
