"""The command's beginning: `crypto-lakehouse`, and `python -m crypto_lakehouse`."""

from __future__ import annotations

import sys
from typing import NoReturn

from crypto_lakehouse.version import check_platform

__all__ = ["main"]


def main() -> NoReturn:
    """Import the command, which takes a while in which Ctrl-C is pressed, too, and run it."""
    try:
        check_platform()
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - nothing else can be imported
        sys.exit(2)
    try:
        from crypto_lakehouse.cli.utf8_mode import restart_in_utf8_mode

        restart_in_utf8_mode()
        from crypto_lakehouse.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
