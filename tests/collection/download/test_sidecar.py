"""A sidecar is read for its digest and forgiven the rest."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
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
        f"{DIGEST.upper()}  X.ZIP\r\n",
        f"{DIGEST}\tx.zip",
        f"  {DIGEST}  x.zip  ",
        f"{DIGEST}  币安人生USDT-trades-2025-07.zip\n",
        f"{DIGEST}  a name with spaces.zip\n \n\t\n",
        f"{DIGEST}  {'x' * 4000}.zip\n",
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
        (b"\xff\xfe", "UTF-16"),
        (b"<html></html>", "a page in HTML"),
        (b"<!DOCTYPE html>\n<html><body>busy</body></html>\n", "a page in HTML"),
        (gzip.compress(DIGEST.encode(), mtime=0), "compressed with gzip"),
        (f"{DIGEST}  x.zip".encode("utf-16-le"), "does not begin"),
        (b'{"error": "busy"}', "does not begin"),
        (b"\xef\xbb\xbf", "empty"),
        (b" \t\r\n", "empty"),
        (f"\n{DIGEST}  x.zip".encode(), "empty"),
        (DIGEST[:-1].encode(), "does not begin"),
        (f"{DIGEST}0  x.zip".encode(), "does not begin"),
        (f"{DIGEST[:-1]}g  x.zip".encode(), "does not begin"),
        (f"x.zip  {DIGEST}".encode(), "does not begin"),
        (f"{DIGEST[:32]} {DIGEST[32:]}".encode(), "does not begin"),
        (f"\ufeff\ufeff{DIGEST}".encode(), "does not begin"),
        (f"{'٣' * 64}  x.zip".encode(), "does not begin"),
        (f"{'0' * 63}\u0660".encode(), "does not begin"),
        (f"{DIGEST}  x.zip".encode("utf-16"), "not text in UTF-8, but in UTF-16"),
        (f"{DIGEST}  \xff.zip".encode("latin-1"), "not text"),
        (bytes(range(256)), "not text"),
        (b"\0" * 64, "does not begin"),
        (f"{DIGEST}  x.zip\n{DIGEST}  y.zip\n".encode(), "more than one line"),
        (b"a" * (SIDECAR_LIMIT_BYTES + 1), "longer than"),
        (DIGEST.encode() + b"\n" * SIDECAR_LIMIT_BYTES, "longer than"),
        (b"a" * (1 << 20), "longer than"),
        (b"\xff" * (1 << 20), "longer than"),
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


@given(
    st.binary(min_size=32, max_size=32),
    st.sampled_from([str.lower, str.upper, str.swapcase]),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["  ", " *", " ", "\t"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=100),
    st.sampled_from(["", "\n", "\r\n", "\n\n"]),
)
def test_a_digest_is_read_however_it_is_written(
    digest: bytes, case: Callable[[str], str], mark: str, space: str, name: str, end: str
) -> None:
    line = f"{mark}{case(digest.hex())}{space}{name}{end}"
    assert parse_sidecar(line.encode(), KEY) == digest.hex()


def test_a_sidecar_of_just_the_longest_length_is_read() -> None:
    line = f"{DIGEST}  ".encode().ljust(SIDECAR_LIMIT_BYTES, b"x")
    assert parse_sidecar(line, KEY) == DIGEST


def test_a_malformed_sidecar_is_named_by_its_key_and_not_quoted() -> None:
    with pytest.raises(SidecarMalformed) as refused:
        parse_sidecar(b"<script>alert(1)</script>", KEY)
    assert refused.value.key == KEY
    assert "script" not in str(refused.value)
