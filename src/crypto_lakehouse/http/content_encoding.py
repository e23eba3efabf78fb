"""Bodies that a source compresses although no request allows it.

Requests are sent with `Accept-Encoding: identity`; some servers and proxies ignore that. Short
texts are decoded all the same. Archives are not, because their sizes, ETags and ranges are those of
the encoded bytes.

Source: RFC 9110, section 8.4.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.http.transport import Response

__all__ = ["decoded_chunks", "decoded_text", "sent_encoded"]

_GZIP = frozenset({"gzip", "x-gzip"})

#: The window of a gzip member with its head and checksum, for zlib.
_GZIP_WINDOW = 31

#: The first byte of gzip, which neither a sidecar nor XML begins with. If a server declares gzip
#: and sends plain text, the declaration is ignored.
_MAGIC = b"\x1f"

_PIECE_BYTES = 1 << 16


def sent_encoded(headers: Mapping[str, str], what: str = "it") -> str:
    """Return the end of a reason that names the Content-Encoding; empty if there is none."""
    encoding = _encoding(headers)
    if not encoding:
        return ""
    return f"; {what} was sent with Content-Encoding: {shown(encoding)}, unasked"


def decoded_text(data: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """Return what a short body encodes, at most `limit` bytes; the body as it is if it is broken.

    Args:
        data: The body, or its beginning.
        headers: Those of the answer.
        limit: How many bytes are wanted.
    """
    if _encoding(headers) not in _GZIP or not data.startswith(_MAGIC):
        return data
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        text = inflater.decompress(data, limit)
    except zlib.error:
        return data
    is_whole = inflater.eof and not inflater.unused_data
    return text if is_whole or len(text) == limit else data


async def decoded_chunks(response: Response) -> AsyncGenerator[bytes | bytearray]:
    """Yield a body as it arrives, decoded if it is compressed with gzip.

    Raises:
        TransferError: The body was cut off, or the source was silent for too long.
        zlib.error: The body is not whole gzip.
    """
    inflater = None
    is_unknown = _encoding(response.headers) in _GZIP
    async with aclosing(response.chunks()) as chunks:
        async for chunk in chunks:
            if is_unknown and chunk:
                is_unknown = False
                if chunk.startswith(_MAGIC):
                    inflater = zlib.decompressobj(_GZIP_WINDOW)
            if inflater is None:
                yield chunk
                continue
            rest: bytes | bytearray = chunk
            piece = b""
            while rest or len(piece) == _PIECE_BYTES:
                piece = inflater.decompress(rest, _PIECE_BYTES)
                rest = inflater.unconsumed_tail
                yield piece
    if inflater is not None and (not inflater.eof or inflater.unused_data):
        raise zlib.error("incomplete, or followed by other bytes")


def _encoding(headers: Mapping[str, str]) -> str:
    """Return the declared encoding in lower case; empty if the body is as it is."""
    encoding = headers.get("Content-Encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding
