"""What a fuzzer begins with: good input, so that it gets deep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.fuzz.targets import KEY, MEMBER

from crypto_lakehouse.testing.made_up.zips import SPOILED, good_zip, spoiled_zip

__all__ = ["seeds"]

_ROOT = Path(__file__).parents[2]

_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_KEYS = (
    KEY,
    "data/spot/monthly/klines/币安人生USDT/1mo/币安人生USDT-1mo-2025-07.zip",
    "data/futures/um/daily/bookDepth/BTCUSDT_240628/BTCUSDT_240628-bookDepth-2024-01-02.zip",
    "data/futures/cm/daily/indexPriceKlines/BTCUSD/1m/BTCUSD-1m-2024-01-02.zip",
    "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-02.zip",
    "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2023-06-01.zip",
    "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-02-30.zip",
)

_OBJECT = (
    "<Contents><Key>{key}</Key><LastModified>2025-07-16T08:06:34.000Z</LastModified>"
    "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>1234</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)

_PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>data.binance.vision</Name><Prefix>data/</Prefix><Marker></Marker>{more}"
    "<MaxKeys>1000</MaxKeys><IsTruncated>{truncated}</IsTruncated>{objects}"
    "<CommonPrefixes><Prefix>data/spot/</Prefix></CommonPrefixes></ListBucketResult>"
)


def _pages() -> list[bytes]:
    objects = "".join(_OBJECT.format(key=key) for key in _KEYS[:3])
    next_one = "<NextMarker>data/x</NextMarker>"
    encoded = "<EncodingType>url</EncodingType>" + next_one
    texts = [
        _PAGE.format(more="", truncated="false", objects=objects),
        _PAGE.format(more=next_one, truncated="true", objects=objects),
        _PAGE.format(more=encoded, truncated="true", objects=objects.replace("-", "%2D")),
        '<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult>&b;</ListBucketResult>',
        "<html><body>busy</body></html>",
    ]
    return [text.encode() for text in texts]


def _matrices() -> list[bytes]:
    shipped = json.loads((_ROOT / "matrix" / "binance.json").read_bytes())
    small = {**shipped, "availability_matrix": shipped["availability_matrix"][:2]}
    older = sorted((_ROOT / "tests" / "data" / "matrices").glob("*.json"))
    return [json.dumps(small).encode(), *(path.read_bytes()[:20_000] for path in older)]


def _configs() -> list[bytes]:
    values = {
        "output_directory": "out",
        "symbols": {"spot": ["BTCUSDT", "ETH*"]},
        "intervals": {"klines": ["1h", "1M"]},
        "date_range": {"start": "2025-07-01", "end": "9999-12-31"},
        "max_parallel_downloads": "auto",
        "source_url": "https://me:secret@example.org/mirror",
    }
    toml = (
        'output_directory = "out"\nsymbols = ["BTCUSDT"]\n'
        '[date_range]\nstart = 2025-07-01\nend = "2025-07-02"\n'
    )
    yaml = "output_directory: out\nsymbols: [BTCUSDT]\ndefault_date: 2025-07-15\nlog: &a [*a]\n"
    return [b"\x00" + json.dumps(values).encode(), b"\x01" + toml.encode(), b"\x02" + yaml.encode()]


def _answers() -> list[bytes]:
    head = b'HTTP/1.1 200 OK\r\nETag: "x"\r\n'
    return [
        head + b"Content-Length: 5\r\n\r\nhello",
        head + b"Content-Length: 9000\r\n\r\n" + b"x" * 9000,
        head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\n",
        head + b"Connection: close\r\n\r\nuntil the end",
        b"HTTP/1.1 100 Continue\r\n\r\n" + head + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nnohello",
        b"HTTP/1.0 200 OK\r\n\r\nold",
    ]


def _zips() -> list[bytes]:
    assert KEY.endswith(MEMBER.replace(".csv", ".zip"))
    spoiled = [spoiled_zip(kind, KEY, b"1,2\n" * 9) for kind in SPOILED if kind != "bomb"]
    return [good_zip(KEY, b"1,2,3\n" * 9), good_zip(KEY, b""), *spoiled]


def _sidecars() -> list[bytes]:
    name = KEY.rpartition("/")[2]
    lines = [f"{_DIGEST}  {name}\n", f"{_DIGEST.upper()} *{name}\r\n", _DIGEST, f"\ufeff{_DIGEST}"]
    return [line.encode() for line in lines]


@cache
def seeds() -> Mapping[str, tuple[bytes, ...]]:
    """Seeds of every target, by its name."""
    return {
        "key": tuple(key.encode() for key in _KEYS),
        "sidecar": tuple(_sidecars()),
        "listing": tuple(_pages()),
        "matrix": tuple(_matrices()),
        "config": tuple(_configs()),
        "answer": tuple(_answers()),
        "zip": tuple(_zips()),
    }
