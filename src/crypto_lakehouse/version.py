"""The package's version and where it runs; apart, so that every part may import them."""

from __future__ import annotations

import sys

__all__ = ["__version__", "check_platform"]

__version__ = "0.2.0"


def check_platform() -> None:
    """Refuse Windows: file locks, hard links and synced directories are those of POSIX.

    Raises:
        ImportError: This is Windows; its one sentence says where the program runs there.
    """
    if sys.platform == "win32":
        raise ImportError(
            "crypto-lakehouse runs on Linux and macOS; on Windows run it in WSL 2 "
            "(`wsl --install`) or in a Docker container (docs/how-to/docker.md)"
        )
