"""How a source fails that knows secrets and tells them, and how to see that none was kept."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from tests.workflows.conftest import KEY, SIDECAR

from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import (
    Body,
    Cut,
    Fault,
    Flip,
    Headers,
    Redirect,
    Stall,
    Status,
    Truncate,
)

__all__ = [
    "ECHO",
    "FAULTS",
    "LISTINGS",
    "PASSWORD",
    "SIGNATURE",
    "SIGNED",
    "check",
    "inject",
    "timeout_of",
    "with_user",
]

PASSWORD, SIGNATURE = "hunter2pass", "deadbeefcafe0123"
BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, SIGNATURE, BASIC)

SIGNED = f"X-Amz-Signature={SIGNATURE}&X-Amz-Credential={SIGNATURE}&token={SIGNATURE}"
ELSEWHERE = f"https://me:{PASSWORD}@elsewhere.example/{KEY}?{SIGNED}"

#: What a source says that sends back all that it knows.
ECHO = f"GET {ELSEWHERE} failed; Authorization: Basic {BASIC}; you sent Basic {BASIC}".encode()
ECHOING = Headers(
    {
        "X-Echo": f"Basic {BASIC}",
        "X-Request": ELSEWHERE,
        "Set-Cookie": f"session={SIGNATURE}",
        "X-Amz-Security-Token": SIGNATURE,
        "WWW-Authenticate": f"Bearer {SIGNATURE}",
        "Link": f"<{ELSEWHERE}>; rel=next",
    }
)


def statuses(pattern: str, *codes: int) -> dict[str, tuple[str, Sequence[Fault]]]:
    """Answers with an echo, to all that matches."""
    return {
        f"{code} for {pattern[-9:]}": (
            pattern,
            [Status(code, retry_after="0", body=ECHO) & ECHOING],
        )
        for code in codes
    }


#: What is asked for, and how it fails; the last fault again and again.
FAULTS: dict[str, tuple[str, Sequence[Fault]]] = {
    "nothing": ("*.none", [Status(503)]),
    **statuses("*.zip", 401, 403, 404, 418, 500, 503),
    **statuses("*.CHECKSUM", 401, 403, 404, 503),
    "a redirect elsewhere": (KEY, [Redirect(ELSEWHERE)]),
    "a redirect of the sidecar": (SIDECAR, [Redirect(ELSEWHERE)]),
    "a redirect to a scheme": (KEY, [Redirect(f"ftp://me:{PASSWORD}@h/?{SIGNED}")]),
    "a redirect to no URL": (KEY, [Redirect(f"https://me:{PASSWORD}@[h/?{SIGNED}")]),
    "a redirect loop": (KEY, [Redirect(f"/{KEY}?{SIGNED}")]),
    "a signed place that works": (KEY, [Redirect(f"/{KEY}?{SIGNED}"), Headers({})]),
    "a signed place that is refused": (KEY, [Redirect(f"/{KEY}?{SIGNED}"), Status(418)]),
    "a signed place that breaks off": (KEY, [Redirect(f"/{KEY}?{SIGNED}"), Truncate(at=50)]),
    "a signed place that is cut": (KEY, [Redirect(f"/{KEY}?{SIGNED}"), Cut()]),
    "a signed place that is corrupt": (
        KEY,
        [Redirect(f"/{KEY}?{SIGNED}"), Flip(at=60) & ECHOING, Redirect(f"/{KEY}?{SIGNED}")],
    ),
    "a truncated body": (KEY, [Truncate(at=50) & ECHOING]),
    "a corrupt body": (KEY, [Flip(at=60) & ECHOING]),
    "a body that is an echo": (KEY, [Body(ECHO, {"X-Request": ELSEWHERE})]),
    "a bad sidecar": (SIDECAR, [Headers({"X-Request": ELSEWHERE}) & Body(b"token=" + ECHO)]),
    "silence": (KEY, [Stall()]),
    "a broken connection": (KEY, [Cut()]),
}

#: How a listing fails.
LISTINGS: dict[str, Fault] = {
    "401": Status(401, body=ECHO),
    "403": Status(403, retry_after="0", body=ECHO),
    "503": Status(503, retry_after="0", body=ECHO),
    "a redirect": Redirect(ELSEWHERE),
    "no XML": Body(ECHO),
    "an error": Body(b"<Error><Message>" + ECHO.replace(b"&", b"&amp;") + b"</Message></Error>"),
    "an entry": Body(
        f"<ListBucketResult><EncodingType>token={SIGNATURE}</EncodingType><IsTruncated>false"
        f"</IsTruncated></ListBucketResult>".encode()
    ),
    "a key": Body(
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>data/"
        + ELSEWHERE.replace("&", "&amp;").encode()
        + b"</Key><Size>3</Size></Contents></ListBucketResult>"
    ),
    "a cut": Cut(),
}


def check(texts: Sequence[str], *roots: Path) -> None:
    """No secret is in any text, nor in the name or the bytes of any file.

    But for the bytes of an archive: they are evidence, and are kept as they came.
    """
    for root in roots:
        for path in root.rglob("*"):
            assert not any(secret in str(path) for secret in SECRETS), path
            if path.is_file() and path.suffix != ".zip":
                data = path.read_bytes()
                assert not any(secret.encode() in data for secret in SECRETS), path
    shown = "\n".join(texts)
    for secret in SECRETS:
        at = shown.find(secret)
        assert at < 0, shown[max(0, at - 200) : at + 100]


def with_user(server: ArchiveServer) -> str:
    """A server's address with a user's name and password."""
    return server.url.replace("//", f"//me:{PASSWORD}@")


def inject(server: ArchiveServer, pattern: str, faults: Sequence[Fault]) -> None:
    """Let requests fail in turn, and from then on as the last one did."""
    server.inject(pattern, *faults[:-1])
    server.inject(pattern, faults[-1], endless=True)


def timeout_of(name: str) -> float:
    """How long a source that fails in this way may be silent, in seconds."""
    return 0.5 if name == "silence" else 10
