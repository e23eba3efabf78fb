"""A double of Google Cloud Storage: of its XML interface, as far as the client uses it.

No server of the registries has that interface. It has generations, their conditions, uploads in
parts, ranges and pages; it checks that each request has a bearer token, and not which one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from attrs import define, field, frozen
from tests.services.bucket import Bucket

__all__ = ["gcs"]

_BUCKET = "archive"
_DATE = "Tue, 15 Jul 2025 03:00:00 GMT"
_LEAST_PART = 5 << 20
_META = "x-goog-meta-"


@frozen
class _Object:
    data: bytes
    etag: str
    generation: int
    metadata: dict[str, str]


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@define
class _Objects:
    """The objects of the bucket, and the uploads under way."""

    objects: dict[str, _Object] = field(factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(factory=dict)
    lock: Lock = field(factory=Lock)
    _numbers: Iterator[int] = field(factory=lambda: count(1))

    def get(self, key: str) -> _Object:
        if key not in self.objects:
            raise _Refused(HTTPStatus.NOT_FOUND, "NoSuchKey")
        return self.objects[key]

    def put(self, key: str, data: bytes, metadata: dict[str, str], wanted: str | None) -> _Object:
        found = self.objects.get(key)
        if wanted is not None and int(wanted) != (found.generation if found else 0):
            raise _Refused(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
        generation = next(self._numbers)
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.objects[key] = _Object(data, f'"{digest}"', generation, metadata)
        return self.objects[key]

    def begin(self) -> str:
        name = f"upload-{next(self._numbers)}"
        self.uploads[name] = {}
        return name

    def complete(self, key: str, name: str, wanted: list[tuple[int, str]]) -> _Object:
        parts = self.parts(name)
        if [number for number, _ in wanted] != sorted(parts):
            raise _Refused(HTTPStatus.BAD_REQUEST, "InvalidPart")
        if any(len(parts[number]) < _LEAST_PART for number, _ in wanted[:-1]):
            raise _Refused(HTTPStatus.BAD_REQUEST, "EntityTooSmall")
        if any(etag.strip('"') != _md5(parts[number]) for number, etag in wanted):
            raise _Refused(HTTPStatus.BAD_REQUEST, "InvalidPart")
        del self.uploads[name]
        return self.put(key, b"".join(parts[number] for number in sorted(parts)), {}, None)

    def parts(self, name: str) -> dict[int, bytes]:
        if name not in self.uploads:
            raise _Refused(HTTPStatus.NOT_FOUND, "NoSuchUpload")
        return self.uploads[name]


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet
    disable_nagle_algorithm = True
    store: _Objects

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path)[1:].partition("/")
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            if not (self.headers.get("authorization") or "").startswith("Bearer "):
                raise _Refused(HTTPStatus.UNAUTHORIZED, "AuthenticationRequired")
            if bucket != _BUCKET:
                raise _Refused(HTTPStatus.NOT_FOUND, "NoSuchBucket")
            with self.store.lock:
                getattr(self, f"_{self.command.lower()}")(key, query, body)
        except _Refused as refused:
            text = f"<Error><Code>{refused.code}</Code><Message>{refused.code}</Message></Error>"
            self._answer(text.encode(), refused.status)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the base class asks

    def _answer(
        self, body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _facts(self, found: _Object) -> dict[str, str]:
        facts = {"ETag": found.etag, "Last-Modified": _DATE}
        metadata = {f"{_META}{name}": value for name, value in found.metadata.items()}
        return {**facts, "x-goog-generation": str(found.generation), **metadata}

    def _get(self, key: str, query: dict[str, str], _body: bytes) -> None:
        if not key:
            self._list(query)
            return
        found = self.store.get(key)
        if self.headers.get("if-match", found.etag) != found.etag:
            raise _Refused(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
        data, status = found.data, 200
        facts = self._facts(found)
        if wanted := self.headers.get("range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or len(data)) + 1, len(data))
            facts["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            data, status = data[start:stop], 206
        self._answer(data, status, facts)

    _head = _get

    def _put(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploadId" in query:
            self.store.parts(query["uploadId"])[int(query["partNumber"])] = body
            self._answer(headers={"ETag": f'"{_md5(body)}"'})
            return
        wanted = self.headers.get("x-goog-if-generation-match")
        if source := self.headers.get("x-goog-copy-source"):
            found = self.store.get(unquote(source).removeprefix(f"{_BUCKET}/"))
            self.store.put(key, found.data, found.metadata, wanted)
            self._answer(b"<CopyObjectResult/>")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        metadata = {n.removeprefix(_META): v for n, v in headers.items() if n.startswith(_META)}
        self._answer(headers=self._facts(self.store.put(key, body, metadata, wanted)))

    def _post(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            begun = f"<UploadId>{self.store.begin()}</UploadId>"
            place = f"<Bucket>{_BUCKET}</Bucket><Key>{escape(key)}</Key>"
            text = f"<InitiateMultipartUploadResult>{place}{begun}</InitiateMultipartUploadResult>"
            self._answer(text.encode())
            return
        parts = [
            (int(part.findtext("PartNumber", "0")), part.findtext("ETag", ""))
            for part in ET.fromstring(body)
        ]
        found = self.store.complete(key, query["uploadId"], parts)
        etag = f"<ETag>{escape(found.etag)}</ETag>"
        text = f"<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>"
        self._answer(text.encode(), headers={"x-goog-generation": str(found.generation)})

    def _delete(self, key: str, query: dict[str, str], _body: bytes) -> None:
        if "uploadId" in query:
            self.store.parts(query["uploadId"])
            del self.store.uploads[query["uploadId"]]
        else:
            self.store.get(key)
            del self.store.objects[key]
        self._answer(status=204)

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        entries: dict[str, str] = {}
        for key in sorted(self.store.objects, key=str.encode):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            name = key if end < 0 else key[: end + 1]
            if key.startswith(prefix) and name.encode() > after.encode():
                entries[name] = self._entry(name, is_folder=end >= 0)
        most = int(query.get("max-keys", 1000))
        page, more = list(entries)[:most], len(entries) > most
        text = "".join(entries[name] for name in page)
        if more:
            text += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        text += f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        self._answer(f"<ListBucketResult>{text}</ListBucketResult>".encode())

    def _entry(self, name: str, *, is_folder: bool) -> str:
        if is_folder:
            return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        found = self.store.objects[name]
        return (
            f"<Contents><Key>{escape(name)}</Key><Size>{len(found.data)}</Size>"
            f"<ETag>{escape(found.etag)}</ETag><Generation>{found.generation}</Generation>"
            "<LastModified>2025-07-15T03:00:00.000Z</LastModified></Contents>"
        )


@contextmanager
def gcs(folder: Path) -> Iterator[Bucket]:
    """Run the double with an empty bucket.

    Args:
        folder: For the file with the key of the service account.
    """
    handler = type("Handler", (_Handler,), {"store": _Objects()})
    account = folder / "account.json"
    account.write_text(json.dumps(_service_account()))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Bucket(
                f"gs://{_BUCKET}",
                {"endpoint": f"http://127.0.0.1:{server.server_port}"},
                {"GOOGLE_APPLICATION_CREDENTIALS": str(account)},
            )
        finally:
            server.shutdown()
            thread.join()


def _service_account() -> dict[str, object]:
    """Return a service account with a new key; it signs its tokens itself."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "client_email": "tests@example.org",
        "private_key_id": "tests",
        "private_key": key.decode(),
        "disable_oauth": True,
    }
