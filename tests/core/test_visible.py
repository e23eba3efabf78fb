"""Text that a screen or an encoding cannot show."""

from __future__ import annotations

import pytest

from crypto_lakehouse.core.visible import escape_unencodable


def test_only_errors_of_encoding_are_escaped() -> None:
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    with pytest.raises(UnicodeDecodeError):
        escape_unencodable(error)
