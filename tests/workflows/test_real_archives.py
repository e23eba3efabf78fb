"""Four real archives, two eras, collected byte for byte from a mirror of them."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

from crypto_lakehouse import run_collection
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.verification import verify_tree

REAL = Path(__file__).parents[3] / "shared" / "real"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real archives at {REAL}")


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ({"markets": ["spot"], "data_types": ["klines"], "intervals": ["1m"],
          "date_range": {"start": "2020-01-01", "end": "2020-01-02"}}, 2),
        ({"markets": ["spot"], "data_types": ["klines"], "intervals": ["1h"],
          "default_date": "2026-05-08"}, 1),
        ({"markets": ["futures_um"], "data_types": ["fundingRate"],
          "date_range": {"start": "2026-04-01", "end": "2026-04-30"}}, 1),
    ],
)  # fmt: skip
async def test_real_archives_are_collected_byte_for_byte(
    tmp_path: Path, selection: dict[str, object], count: int
) -> None:
    async with ArchiveServer(REAL) as mirror:
        report = await run_collection(
            {"output_directory": str(tmp_path), "source_url": mirror.url,
             "symbols": ["BTCUSDT"], **selection}
        )  # fmt: skip
    assert report.totals["verified"] == report.totals["planned"] == count
    collected = [path for path in tmp_path.joinpath("data").rglob("*") if path.is_file()]
    assert len(collected) == 2 * count, "each zip with its sidecar"
    for path in collected:
        assert filecmp.cmp(path, REAL / path.relative_to(tmp_path), shallow=False)
    verified = await verify_tree(tmp_path)
    assert verified.exit_code == 0


async def test_a_mirror_that_nobody_here_has_written_can_be_verified() -> None:
    report = await verify_tree(REAL)
    assert report.totals == {"ok": 4}
