"""Decide by the evidence; pure, so that the whole truth table can be tested.

Evidence that is not clearly good is gathered a second time, by a new fetch, as a zip and its
sidecar are cached separately by the publisher's network and can disagree for a while
(docs/archive.md#stale-caches).
"""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen

from crypto_lakehouse.core.listed import md5_of_etag
from crypto_lakehouse.core.verdicts import Verdict

__all__ = [
    "BY_ETAG_ALONE",
    "NO_SIDECAR",
    "Decision",
    "Evidence",
    "decide",
    "decide_on_second_fetch",
    "decide_without_sidecar",
    "md5_of_etag",
]

#: The reason of an archive that is verified by its ETag, whatever its sidecar says.
BY_ETAG_ALONE = "the ETag proves it; its sidecar disagrees and is not kept"


@frozen(kw_only=True)
class Evidence:
    """What one fetch of an archive showed.

    Attributes:
        sha256: Digest of the bytes.
        integrity: The configuration's `integrity`.
        etag_agrees: Whether the bytes' MD5 is the ETag; None if the ETag is not an MD5, or no
            comparison is needed.
        lacks_md5: Whether the ETag is an MD5, and the bytes' own was not computed.
        published_sha256: The sidecar's digest; None if there is none.
        sidecar_fault: Why the sidecar is malformed; empty if it is not, or is absent.
        zip_fault: Why the bytes are not a readable archive; empty if they are one.
        is_stale: Whether the source served another version than its listing shows.
    """

    sha256: str
    integrity: str
    etag_agrees: bool | None
    published_sha256: str | None
    sidecar_fault: str
    zip_fault: str
    is_stale: bool = False
    lacks_md5: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether the bytes are the published ones, by the configured `integrity`.

        | integrity | ETag is the MD5 | SHA-256 is the sidecar's | proven |
        |-----------|-----------------|--------------------------|--------|
        | sidecar   | -               | yes                      | yes    |
        | listing   | yes             | -                        | yes    |
        | listing   | ETag is no MD5  | yes                      | yes    |
        | both      | yes, or no MD5  | yes                      | yes    |
        | anything else                                        | | no     |
        """
        by_sidecar = self.published_sha256 == self.sha256
        if self.integrity == "listing":
            return by_sidecar if self.etag_agrees is None else self.etag_agrees
        if self.integrity == "both":
            return by_sidecar and self.etag_agrees is not False
        return by_sidecar

    @property
    def lacks_sidecar(self) -> bool:
        """Whether only the sidecar is missing for a verification."""
        absent = self.published_sha256 is None and not self.sidecar_fault
        may_agree = self.etag_agrees is not False and not self.lacks_md5
        return absent and not self.zip_fault and may_agree


@frozen
class Decision:
    """A verdict with its reason."""

    verdict: Verdict
    reason: str = ""


NO_SIDECAR = Decision(Verdict.SIDECAR_MISSING, "the zip is readable, its sidecar is not published")

_VERIFIED_BEFORE = "its sidecar is not published any more; the bytes are those verified before"

_STALE = "the source serves another version than it lists; the next run asks again"


def decide(evidence: Evidence) -> Decision | None:
    """Decide by a first fetch; None if a second one is needed."""
    if evidence.is_stale:
        return None
    if evidence.is_proven:
        if evidence.zip_fault:
            return Decision(Verdict.CORRUPT, f"the digest is right, but: {evidence.zip_fault}")
        return Decision(Verdict.VERIFIED)
    if evidence.lacks_sidecar:
        return NO_SIDECAR
    return None


def decide_on_second_fetch(first: Evidence, second: Evidence) -> Decision:
    """Decide by a second fetch, in the light of the first."""
    decision = decide(second)
    if decision is not None:
        return decision
    if second.is_stale:
        good = second.integrity == "sidecar" and second.is_proven and not second.zip_fault
        return Decision(Verdict.VERIFIED if good else Verdict.FAILED, _STALE)
    if first.sha256 != second.sha256:
        return Decision(Verdict.CORRUPT, "the source served different bytes at two tries")
    if second.etag_agrees is False:
        return Decision(Verdict.CORRUPT, "the bytes are not those of the object's ETag")
    if second.sidecar_fault:
        return Decision(Verdict.CORRUPT, second.sidecar_fault)
    if second.zip_fault:
        return Decision(Verdict.CORRUPT, second.zip_fault)
    return Decision(
        Verdict.UPSTREAM_MISMATCH,
        f"published SHA-256 {second.published_sha256}, served twice {second.sha256}; "
        "the bytes are in quarantine",
    )


def decide_without_sidecar(
    sha256: str, earlier: Collection[str], *, stands: bool = False
) -> Decision:
    """Decide on a readable zip whose sidecar is absent, by what was verified before.

    | verified before | a verified version stands | verdict         |
    |-----------------|---------------------------|-----------------|
    | nothing         | -                         | sidecar_missing |
    | these bytes     | -                         | verified        |
    | other bytes     | yes                       | sidecar_missing |
    | other bytes     | no, it is damaged or gone | corrupt         |

    Args:
        sha256: Digest of the bytes.
        earlier: The digests of versions that were verified before.
        stands: Whether one of these versions is at the final name.
    """
    if sha256 in earlier:
        return Decision(Verdict.VERIFIED, _VERIFIED_BEFORE)
    if not earlier or stands:
        return NO_SIDECAR
    return Decision(
        Verdict.CORRUPT,
        f"its sidecar is not published any more, and its SHA-256 is {sha256}, not that of the "
        f"version that was verified before, {min(earlier)}; run again when it is published",
    )
