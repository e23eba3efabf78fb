"""A sidecar is read for its digest and forgiven the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.collection.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.core.errors import SidecarMalformed

DIGEST = "0123456789abcdef" * 4
KEY = "data/x.zip.CHECKSUM"


@pytest.mark.parametrize(
    "data",
    [
        f"{DIGEST}  x.zip",
        f"{DIGEST}  x.zip\n",
        f"{DIGEST}  x.zip\r\n",
        f"{DIGEST} *x.zip\n",
        f"{DIGEST}  another.zip\n\n",
        f"{DIGEST.upper()}  x.zip",
        f"\ufeff{DIGEST}  x.zip",
        DIGEST,
    ],
)
def test_the_digest_is_the_first_word(data: str) -> None:
    assert parse_sidecar(data.encode(), KEY) == DIGEST


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"\xff\xfe", "not text"),
        (b"<html></html>", "does not begin"),
        (DIGEST[:-1].encode(), "does not begin"),
        (f"{DIGEST}  x.zip\n{DIGEST}  y.zip\n".encode(), "more than one line"),
        (b"a" * (SIDECAR_LIMIT_BYTES + 1), "longer than"),
    ],
)
def test_anything_else_is_malformed_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(SidecarMalformed, match=reason) as caught:
        parse_sidecar(data, KEY)
    assert KEY in str(caught.value)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_digest_or_malformed(data: bytes) -> None:
    try:
        digest = parse_sidecar(data, KEY)
    except SidecarMalformed:
        return
    assert len(digest) == 64
    assert digest.encode() in data.lower()
