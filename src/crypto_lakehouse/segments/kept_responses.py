"""Keeps the responses of a day on disk, so that memory does not grow with the day."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from typing import IO, Any

from attrs import define, field

from crypto_lakehouse.core.temporary_files import temporary_errors
from crypto_lakehouse.segments.fill_lines import FillResponse, read_response, response_line
from crypto_lakehouse.segments.fill_segment import LINE_BYTES
from crypto_lakehouse.segments.json_lines import whole_lines

__all__ = ["KeptResponses", "on_disk", "temporary_file"]

#: Converts errors of the folder of temporary files.
on_disk = partial(temporary_errors, "the day that is filled")

#: What is smaller stays in memory.
_IN_MEMORY = 8 << 20

_STEP_BYTES = 1 << 20

#: A fast one: the text is compressed once more in the segment.
_LEVEL = 1


def temporary_file() -> IO[bytes]:
    """Open a temporary file without a name, which is in memory while it is small."""
    return tempfile.SpooledTemporaryFile(_IN_MEMORY)


@define(eq=False)
class KeptResponses:
    """Responses in the order of their rows, as compressed lines of a segment.

    They are in a temporary file, which goes with the process. The owner closes it; what is read
    first ends what can be added.

    Attributes:
        text_bytes: The size of the lines.

    Raises:
        StoreError: The folder of temporary files cannot be written; from each method.
    """

    text_bytes: int = field(init=False, default=0)
    _count: int = field(init=False, default=0)
    _file: IO[bytes] = field(init=False, factory=temporary_file, repr=False)
    _writer: Any = field(init=False, default=None, repr=False)

    def add(self, response: FillResponse) -> None:
        """Add the next response; blocking."""
        line = response_line(response)
        with on_disk():
            if self._writer is None:
                import zstandard

                compressor = zstandard.ZstdCompressor(_LEVEL)
                self._writer = compressor.stream_writer(self._file, closefd=False)
            self._writer.write(line)
        self.text_bytes += len(line)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[FillResponse]:
        lines = whole_lines(self.text(), "", LINE_BYTES)
        return (read_response(line, "", at) for at, line in enumerate(lines, 2))

    def text(self) -> Iterator[bytes]:
        """Yield the lines, in parts of any size; blocking."""
        if self._writer is None:
            return
        import zstandard

        with on_disk():
            self._writer.close()
            self._file.seek(0)
            reader = zstandard.ZstdDecompressor().stream_reader(self._file, closefd=False)
            while part := reader.read(_STEP_BYTES):
                yield part

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
