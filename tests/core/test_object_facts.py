"""What is known of one version of an archive."""

from __future__ import annotations

import pytest

from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.object_facts import NO_FACTS, FileStat, ObjectFacts


@pytest.mark.parametrize(
    ("size_bytes", "mark", "same"),
    [(7, 10, True), (8, 10, False), (7, 11, False), (None, 10, False), (None, None, False)],
)
def test_facts_describe_only_the_file_that_they_were_found_out_of(
    size_bytes: int | None, mark: int | None, same: bool
) -> None:
    facts = ObjectFacts(size_bytes=size_bytes, mark=mark)
    assert facts.describes(FileStat(7, 10)) is same


@pytest.mark.parametrize(
    ("facts", "stat"),
    [
        (NO_FACTS, None),
        (ObjectFacts(size_bytes=7), None),
        (ObjectFacts(mark=10), None),
        (ObjectFacts(size_bytes=7, mark=10), FileStat(7, 10)),
    ],
)
def test_a_file_stands_if_its_size_and_its_mark_are_known(
    facts: ObjectFacts, stat: FileStat | None
) -> None:
    assert facts.stat == stat
    if stat is not None:
        assert NO_FACTS.of_file(stat) == facts


def test_a_listing_adds_what_it_says_and_takes_nothing_away() -> None:
    facts = ObjectFacts(size_bytes=7, sha256="a", etag="e", last_modified="then", sidecar_etag="s")
    assert ListedArchive(size_bytes=7).over(facts) == facts
    listed = ListedArchive(size_bytes=7, etag="f", last_modified="now", sidecar_etag="t")
    assert listed.over(facts) == ObjectFacts(
        size_bytes=7, sha256="a", etag="f", last_modified="now", sidecar_etag="t"
    )
