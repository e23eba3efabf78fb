"""Decide what fetched bytes are worth; pure, so that the whole truth table can be tested.

A first look that is not clearly good is followed by a second one, fetched anew, as a zip and
its sidecar are cached apart by the publisher's network and can disagree for a while
(archive-facts 1.4).
"""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.core.listed import md5_of_etag
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["NO_SIDECAR", "Look", "Ruling", "judge", "judge_again", "md5_of_etag"]


@frozen(kw_only=True)
class Look:
    """What one fetch of an archive showed.

    Attributes:
        sha256: Digest of the bytes.
        integrity: The configuration's `integrity`.
        etag_agrees: Whether the bytes' MD5 is the ETag; None where the ETag is no MD5, or it
            was not asked.
        published_sha256: The sidecar's digest, None where there is none.
        sidecar_fault: Why the sidecar could not be read, empty where it could or is absent.
        zip_fault: Why the bytes are no readable archive, empty where they are.
        is_stale: Whether the source served another version than its listing shows.
    """

    sha256: str
    integrity: str
    etag_agrees: bool | None
    published_sha256: str | None
    sidecar_fault: str
    zip_fault: str
    is_stale: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether the bytes are the ones published, by the measure that the run asks for.

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
        """Whether nothing but the absence of the sidecar is in the way."""
        absent = self.published_sha256 is None and not self.sidecar_fault
        return absent and not self.zip_fault and self.etag_agrees is not False


@frozen
class Ruling:
    """A verdict with its reason."""

    verdict: Verdict
    reason: str = ""


NO_SIDECAR = Ruling(Verdict.SIDECAR_MISSING, "the zip is readable, its sidecar is not published")


_STALE = "the source serves another version than it lists; the next run asks again"


def judge(look: Look) -> Ruling | None:
    """Rule on a first look; None where a second one is needed."""
    if look.is_stale:
        return None
    if look.is_proven:
        if look.zip_fault:
            return Ruling(Verdict.CORRUPT, f"the digest is right, but: {look.zip_fault}")
        return Ruling(Verdict.VERIFIED)
    if look.lacks_sidecar:
        return NO_SIDECAR
    return None


def judge_again(first: Look, second: Look) -> Ruling:
    """Rule on a second look, in the light of the first."""
    ruling = judge(second)
    if ruling is not None:
        return ruling
    if second.is_stale:
        good = second.integrity == "sidecar" and second.is_proven and not second.zip_fault
        return Ruling(Verdict.VERIFIED if good else Verdict.FAILED, _STALE)
    if first.sha256 != second.sha256:
        return Ruling(Verdict.CORRUPT, "the source served different bytes at two tries")
    if second.etag_agrees is False:
        return Ruling(Verdict.CORRUPT, "the bytes are not those of the object's ETag")
    if second.sidecar_fault:
        return Ruling(Verdict.CORRUPT, second.sidecar_fault)
    if second.zip_fault:
        return Ruling(Verdict.CORRUPT, second.zip_fault)
    return Ruling(
        Verdict.UPSTREAM_MISMATCH,
        f"published SHA-256 {second.published_sha256}, served twice {second.sha256}; "
        "the bytes are in quarantine",
    )
