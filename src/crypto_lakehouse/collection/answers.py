"""What a connection has to say of an answer: its headers, or how it was lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["Headers", "Lost"]


class Lost(Exception):
    """The connection ended before the answer did.

    Attributes:
        reason: Why, as far as the system says.
        in_body: Whether the head was whole.
    """

    def __init__(self, reason: str, *, in_body: bool) -> None:
        self.reason = reason
        self.in_body = in_body
        super().__init__(reason)


class Headers(Mapping[str, str]):
    """An answer's headers, by names in any case, decoded as they are asked for.

    Of a repeated header the last one counts. Bytes that are no UTF-8 become lone surrogates.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        value = self._raw[name.lower().encode("utf-8", "surrogateescape")]
        return value.rstrip(b" \t").decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("utf-8", "surrogateescape") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)
