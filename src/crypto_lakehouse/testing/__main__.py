"""Serve an archive until Ctrl-C: `python -m crypto_lakehouse.testing`."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence

from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.testing.server.archive_server import ArchiveServer

__all__ = ["main", "wait_for_ctrl_c"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; the URL is the first line of standard output."""
    options = _parser().parse_args(arguments)
    try:
        with ArchiveServer(options.folder, host=options.host, port=options.port) as server:
            sys.stdout.write(f"{server.url}\n")
            sys.stdout.flush()
            wait_for_ctrl_c()
    except KeyboardInterrupt:
        pass
    except (OSError, LakehouseError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def wait_for_ctrl_c() -> None:
    """Wait until Ctrl-C raises KeyboardInterrupt here."""
    threading.Event().wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crypto_lakehouse.testing",
        description="Serve a stand-in for data.binance.vision until Ctrl-C.",
    )
    parser.add_argument("--folder", metavar="DIR", help="serve this folder, make nothing up")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="port to listen on (any free one)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
