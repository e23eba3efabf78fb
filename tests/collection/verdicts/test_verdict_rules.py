"""The whole truth table of what fetched bytes are worth."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.collection.verdicts.verdict_rules import (
    NO_SIDECAR,
    Decision,
    Evidence,
    decide,
    decide_on_second_fetch,
    decide_without_sidecar,
    md5_of_etag,
)
from crypto_lakehouse.core.verdicts import Verdict

BYTES = "a" * 64
OTHER_BYTES = "b" * 64
DIFFERENT_DIGEST = "c" * 64

AGREES, DIFFERS, ABSENT, MALFORMED = "agrees", "differs", "absent", "malformed"


class Case(NamedTuple):
    """One row of the table: everything that a look can show but the bytes themselves."""

    integrity: str
    etag_agrees: bool | None
    sidecar: str
    zip_is_good: bool

    def evidence(self, sha256: str = BYTES) -> Evidence:
        published = {AGREES: sha256, DIFFERS: DIFFERENT_DIGEST}.get(self.sidecar)
        return Evidence(
            sha256=sha256,
            integrity=self.integrity,
            etag_agrees=self.etag_agrees,
            published_sha256=published,
            sidecar_fault="the sidecar is unreadable" if self.sidecar == MALFORMED else "",
            zip_fault="" if self.zip_is_good else "the zip is broken",
        )


INTEGRITIES = ("sidecar", "listing", "both")
ETAGS = (None, True, False)
SIDECARS = (AGREES, DIFFERS, ABSENT, MALFORMED)
CASES = [Case(*values) for values in product(INTEGRITIES, ETAGS, SIDECARS, (True, False))]
PAIRS = [
    (first, second, same)
    for first, second in product(CASES, CASES)
    if first.integrity == second.integrity
    for same in (True, False)
]

#: integrity, ETag agrees, sidecar: every combination that proves bytes, and no other does.
PROVEN = {
    ("sidecar", None, AGREES),
    ("sidecar", True, AGREES),
    ("sidecar", False, AGREES),
    ("listing", None, AGREES),
    ("listing", True, AGREES),
    ("listing", True, DIFFERS),
    ("listing", True, ABSENT),
    ("listing", True, MALFORMED),
    ("both", None, AGREES),
    ("both", True, AGREES),
}


def expected_at_first(case: Case) -> Verdict | None:
    if case[:3] in PROVEN:
        return Verdict.VERIFIED if case.zip_is_good else Verdict.CORRUPT
    if case.sidecar == ABSENT and case.zip_is_good and case.etag_agrees is not False:
        return Verdict.SIDECAR_MISSING
    return None


def expected_at_second(case: Case, *, same: bool) -> Verdict:
    verdict = expected_at_first(case)
    if verdict is not None:
        return verdict
    blames_publisher = (
        same and case.sidecar == DIFFERS and case.zip_is_good and case.etag_agrees is not False
    )
    # With `both`, a sidecar that agrees proves nothing where the ETag is another's.
    return Verdict.UPSTREAM_MISMATCH if blames_publisher else Verdict.CORRUPT


def second_decision(first: Case, second: Case, *, same: bool) -> Decision:
    return decide_on_second_fetch(first.evidence(), second.evidence(BYTES if same else OTHER_BYTES))


def test_the_table_is_complete() -> None:
    assert len(CASES) == len(set(CASES)) == 3 * 3 * 4 * 2
    assert len(PAIRS) == 3 * 24 * 24 * 2


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bytes_are_proven_by_the_measure_that_the_run_asks_for(case: Case) -> None:
    assert case.evidence().is_proven is (case[:3] in PROVEN)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_first_look_is_ruled_on_or_calls_for_a_second(case: Case) -> None:
    decision = decide(case.evidence())
    assert (decision and decision.verdict) == expected_at_first(case)


def test_a_first_look_without_a_sidecar_is_not_ruled_on_before_its_md5_is_known() -> None:
    evidence = Case("sidecar", None, ABSENT, True).evidence()
    decision = decide(evidence)
    assert decision is not None
    assert decision.verdict is Verdict.SIDECAR_MISSING
    assert decide(evolve(evidence, lacks_md5=True)) is None


def test_a_second_look_is_always_ruled_on() -> None:
    for first, second, same in PAIRS:
        decision = second_decision(first, second, same=same)
        assert decision.verdict is expected_at_second(second, same=same), (first, second, same)


def test_only_proven_readable_bytes_are_verified() -> None:
    for first, second, same in PAIRS:
        for case, decision in (
            (first, decide(first.evidence())),
            (second, second_decision(first, second, same=same)),
        ):
            if decision is not None and decision.verdict is Verdict.VERIFIED:
                evidence = case.evidence()
                assert evidence.is_proven
                assert not evidence.zip_fault


def test_the_publisher_is_blamed_only_for_equal_bytes_twice() -> None:
    blamed = 0
    for first, second, same in PAIRS:
        decision = second_decision(first, second, same=same)
        if decision.verdict is Verdict.UPSTREAM_MISMATCH:
            blamed += 1
            evidence = second.evidence()
            assert same
            assert evidence.published_sha256 not in {None, evidence.sha256}
            assert evidence.etag_agrees is not False
            assert not evidence.zip_fault
            assert DIFFERENT_DIGEST in decision.reason
            assert BYTES in decision.reason
    assert blamed


def test_bytes_that_no_readable_zip_are_never_kept() -> None:
    kept = {Verdict.VERIFIED, Verdict.SIDECAR_MISSING}
    for first, second, same in PAIRS:
        decision = second_decision(first, second, same=same)
        if not second.zip_is_good:
            assert decision.verdict not in kept
        first_decision = decide(first.evidence())
        if first_decision is not None and not first.zip_is_good:
            assert first_decision.verdict not in kept


def test_every_ruling_but_verified_says_why() -> None:
    for first, second, same in PAIRS:
        decision = second_decision(first, second, same=same)
        assert bool(decision.reason) is (decision.verdict is not Verdict.VERIFIED)


@pytest.mark.parametrize(
    ("second", "same", "reason"),
    [
        (Case("sidecar", None, DIFFERS, zip_is_good=True), False, "different bytes"),
        (Case("both", False, AGREES, zip_is_good=True), True, "not those of the object's ETag"),
        (Case("sidecar", None, MALFORMED, zip_is_good=True), True, "the sidecar is unreadable"),
        (Case("sidecar", None, DIFFERS, zip_is_good=False), True, "the zip is broken"),
        (Case("sidecar", None, AGREES, zip_is_good=False), True, "digest is right, but: the zip"),
        (Case("sidecar", None, DIFFERS, zip_is_good=True), True, "published SHA-256"),
    ],
)  # fmt: skip
def test_a_reason_names_the_worst_that_was_seen(second: Case, same: bool, reason: str) -> None:
    first = Case(second.integrity, None, DIFFERS, zip_is_good=True)
    assert reason in second_decision(first, second, same=same).reason


def test_a_sidecar_that_is_fresh_at_the_second_look_verifies() -> None:
    """A zip and its sidecar are cached apart and can disagree for a while."""
    stale = Case("sidecar", None, DIFFERS, zip_is_good=True)
    fresh = Case("sidecar", None, AGREES, zip_is_good=True)
    assert decide(stale.evidence()) is None
    for same in (True, False):
        assert second_decision(stale, fresh, same=same) == Decision(Verdict.VERIFIED)


def test_a_sidecar_that_is_gone_at_the_second_look_is_missing() -> None:
    first = Case("sidecar", None, MALFORMED, zip_is_good=True)
    second = Case("sidecar", None, ABSENT, zip_is_good=True)
    assert second_decision(first, second, same=True) is NO_SIDECAR


@pytest.mark.parametrize(
    ("etag", "md5"),
    [
        (None, None),
        ("", None),
        ('""', None),
        (f'"{"0a" * 16}"', "0a" * 16),
        ("0a" * 16, "0a" * 16),
        (f'"{"0A" * 16}"', "0a" * 16),
        (f'W/"{"0a" * 16}"', None),
        (f'"{"0a" * 16}-7"', None),
        (f'"{"0a" * 15}"', None),
        (f'"{"0a" * 16}\n"', None),
        (f'"{"0g" * 16}"', None),
    ],
)
def test_an_etag_is_an_md5_only_where_it_is_strong_and_of_one_part(
    etag: str | None, md5: str | None
) -> None:
    assert md5_of_etag(etag) == md5


@given(st.none() | st.text(max_size=40))
def test_any_etag_gives_an_md5_or_none(etag: str | None) -> None:
    md5 = md5_of_etag(etag)
    if md5 is not None:
        assert etag is not None
        assert len(bytes.fromhex(md5)) == 16
        assert md5 in etag.lower()


@pytest.mark.parametrize(
    ("earlier", "stands", "verdict"),
    [
        ((), False, Verdict.SIDECAR_MISSING),
        ((), True, Verdict.SIDECAR_MISSING),
        ((BYTES,), False, Verdict.VERIFIED),
        ((BYTES, OTHER_BYTES), True, Verdict.VERIFIED),
        ((OTHER_BYTES,), True, Verdict.SIDECAR_MISSING),
        ((OTHER_BYTES,), False, Verdict.CORRUPT),
    ],
)
def test_without_a_sidecar_what_was_verified_before_decides(
    earlier: tuple[str, ...], stands: bool, verdict: Verdict
) -> None:
    decision = decide_without_sidecar(BYTES, earlier, stands=stands)
    assert decision.verdict is verdict
    assert decision.reason
