"""A seeded mix of everything that a source does, over many archives at once."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.faults.mixed_run import MixedRun
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing import ArchiveServer, FaultMix, Mishap
from crypto_lakehouse.testing.made_up.zips import good_zip

KEYS = [
    f"data/spot/daily/klines/S{number}USDT/1d/S{number}USDT-1d-2025-01-01.zip"
    for number in range(400)
]


def draw(seed: int, share: float) -> dict[str, Mishap]:
    server = ArchiveServer(generate=False)
    for key in KEYS:
        server.publish(key, good_zip(key, key.encode()))
    return FaultMix(seed=seed, share=share).afflict(server, KEYS)


def test_the_same_seed_is_the_same_mix() -> None:
    first, same, other = (
        {key: mishap.kind for key, mishap in draw(seed, 0.3).items()} for seed in (1, 1, 2)
    )
    assert first == same != other


def test_the_share_is_kept_and_every_verdict_occurs() -> None:
    mishaps = draw(seed=1, share=0.5)
    assert 150 < len(mishaps) < 250
    verdicts = Counter(mishap.verdict for mishap in mishaps.values())
    assert set(verdicts) == set(Verdict) - {Verdict.UNCHANGED, Verdict.NOT_PUBLISHED}


def test_no_verdict_depends_on_how_often_an_archive_is_asked_for() -> None:
    """As by a client that gave up an answer which came too late, on a busy machine."""
    for mishap in draw(seed=1, share=0.5).values():
        assert (
            mishap.verdict is Verdict.VERIFIED or mishap.is_endless or mishap.published is not None
        ), mishap


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.timeout(900)
async def test_what_a_run_says_of_each_archive_is_what_was_done_to_it(
    collection: Collection, processes: int
) -> None:
    mix = FaultMix(seed=20 + processes, share=0.12, max_retries=3)
    run = MixedRun(collection.root, symbols=10, days=80, mix=mix, processes=processes)
    with run.server:
        await run.collect()
        run.check()
        if processes == 1:
            await run.collect()
            run.check_second()
