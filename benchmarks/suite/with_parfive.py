"""parfive, as its documentation has it; then every sum is checked.

python with_parfive.py FILE CONNECTIONS      # FILE: lines of `URL PATH`
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from parfive import Downloader


def main(listing: str, connections: int) -> None:
    """Fetch everything, then verify it."""
    downloader = Downloader(max_conn=connections, progress=False, overwrite=True)
    pairs = [line.split() for line in Path(listing).read_text().splitlines()]
    for url, path in pairs:
        place = Path(path)
        downloader.enqueue_file(url, path=place.parent, filename=place.name)
    results = downloader.download()
    if results.errors:
        raise RuntimeError(results.errors[0])
    for _, path in pairs:
        if path.endswith(".zip"):
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            if digest != Path(f"{path}.CHECKSUM").read_text()[:64]:
                raise ValueError(path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
