"""A downloader as people write it: a semaphore, aiohttp, aiofiles; then every sum is checked.

python naive_aiohttp.py FILE CONNECTIONS      # FILE: lines of `URL PATH`
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

import aiofiles
import aiohttp


async def fetch(
    session: aiohttp.ClientSession, limit: asyncio.Semaphore, url: str, path: Path
) -> None:
    """Stream one object to the disk."""
    async with limit, session.get(url) as response:
        response.raise_for_status()
        path.parent.mkdir(parents=True, exist_ok=True)
        async with aiofiles.open(path, "wb") as file:
            async for chunk in response.content.iter_chunked(1 << 16):
                await file.write(chunk)


async def main(listing: str, connections: int) -> None:
    """Fetch everything, then verify it."""
    pairs = [line.split() for line in Path(listing).read_text().splitlines()]
    limit = asyncio.Semaphore(connections)
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(fetch(session, limit, url, Path(path)) for url, path in pairs))
    for _, path in pairs:
        if path.endswith(".zip"):
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            if digest != Path(f"{path}.CHECKSUM").read_text()[:64]:
                raise ValueError(path)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
