"""Passes text on in chunks, counts its lines, and refuses a line that is too long."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from crypto_lakehouse.core.errors import ArchiveRefused

__all__ = ["LINE_BYTES", "CountedLines"]

#: Bytes of the longest line that is read; published lines have less than 500.
LINE_BYTES = 64 << 10


@define
class CountedLines:
    """Iterates the chunks of an archive's text.

    Without a limit, one line could fill the memory: a megabyte of a zip can hold a gigabyte of it.

    Attributes:
        key: The archive's key, for errors.
        chunks: The text.
        ends: How many line ends there are in the chunks so far.
    """

    key: str
    chunks: Iterator[bytes]
    ends: int = field(init=False, default=0)
    _begun: int = field(init=False, default=0)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next chunk that is not empty.

        Raises:
            ArchiveRefused: A line that ends in it, or goes on in it, has more than `LINE_BYTES`.
            StopIteration: It was the last one.
        """
        chunk = next(filter(None, self.chunks))
        begin = -self._begun  # of a line; negative if it began in a chunk before
        while (end := chunk.rfind(b"\n", max(begin, 0), begin + LINE_BYTES + 1)) >= 0:
            begin = end + 1
        if len(chunk) - begin > LINE_BYTES:
            line = self.ends + chunk.count(b"\n", 0, max(begin, 0)) + 1
            raise ArchiveRefused(self.key, f"the line has more than {LINE_BYTES:,} bytes", line)
        self._begun = len(chunk) - begin
        self.ends += chunk.count(b"\n")
        return chunk
