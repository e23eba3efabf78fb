"""Pictures for notebooks, and the command `draw`."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from tests.tables.sample_data import bars, days, ingest, put

from crypto_lakehouse.charts import MatplotlibMissing, candles, coverage, shown
from crypto_lakehouse.cli.main import main
from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, QueryError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pictures are NOT tested")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output with a lake and a ledger."""
    root = tmp_path_factory.mktemp("drawn")
    catalog = LakeCatalog(root / ".lakehouse/lake", create=True)
    ingest(catalog, [put(root, bars(day, interval="1m")) for day in days(date(2023, 7, 1), 4)])
    catalog.close()
    with ArchiveServer() as server:
        config = {
            "output_directory": str(root), "source_url": server.url, "markets": ["spot"],
            "symbols": ["ETHUSDT"], "data_types": ["trades"], "default_date": "2023-07-01",
        }  # fmt: skip
        ArchiveCollectionWorkflow(WorkflowConfig(config)).execute()
    return root


@pytest.fixture
def lake(root: Path) -> Iterator[Lake]:
    with Lake.open(root) as opened:
        yield opened


def png_of(html: str) -> bytes:
    match = re.fullmatch(
        r'<img src="data:image/png;base64,([^"]+)" alt="[^"<>]*" style="[^"]*">', html
    )
    assert match is not None
    return b64decode(match[1])


def test_a_notebook_shows_the_newest_bars(lake: Lake, tmp_path: Path) -> None:
    picture = candles(lake, "BTCUSDT", "1m")
    assert repr(picture) == "<Picture: BTCUSDT spot, 1m, 300 bars>"
    assert png_of(picture._repr_html_()).startswith(b"\x89PNG")
    (file,) = picture.save(tmp_path / "c.svg")
    assert "2023-07-04 19:00 to 2023-07-04 23:59 UTC" in file.read_text()
    day = candles(lake, "BTCUSDT", "1m", start="2023-07-02", end="2023-07-02")
    assert repr(day) == "<Picture: BTCUSDT spot, 1m, 1,440 bars>"


def test_what_cannot_be_drawn_is_an_error(lake: Lake, root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="5760 bars are too many for a picture, which takes"
    ):
        candles(lake, "BTCUSDT", "1m", end="2023-07-04")
    with pytest.raises(ConfigurationError, match="there is no bar to draw; choose another time"):
        candles(root, "BTCUSDT", "1m", start="2024-01-01")
    with pytest.raises(QueryError, match="no rows of interval `1h`"):
        candles(lake, "BTCUSDT", "1h")
    with pytest.raises(ConfigurationError, match=r"unknown kind of picture; allowed: \.svg, \.png"):
        coverage(root).save(tmp_path / "c.pdf")


def test_coverage_is_shown_and_saved(root: Path, tmp_path: Path) -> None:
    picture = coverage(root)
    assert re.fullmatch(r"<Picture: coverage of 1 series, as of [\d-]+>", repr(picture))
    assert png_of(picture._repr_html_()).startswith(b"\x89PNG")
    assert picture.save(tmp_path / "c.svg") == [tmp_path / "c.svg"]
    assert "ETHUSDT" in (tmp_path / "c.svg").read_text()


def test_a_notebook_without_matplotlib_gets_a_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "find_spec", lambda _name: None)
    wanted = r'not installed; run `pip install "crypto-lakehouse\[plot\]"`'
    with pytest.raises(MatplotlibMissing, match=wanted):
        candles(root, "BTCUSDT", "1m")
    with pytest.raises(MatplotlibMissing, match=wanted):
        coverage(root)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("candles", "-s", "BTCUSDT", "-i", "1m", "--to", "c.svg"), 0, "drawn: c.svg\n"),
        (("coverage", "--to", "c.svg"), 0, "drawn: c.svg\n"),
        (("candles", "-s", "*", "-i", "1m", "--to", "c.gif"), 2, "c.gif: unknown kind of picture"),
        (("coverage", "-s", "X", "--to", "c.svg"), 2, "`X`"),
    ],
)
def test_the_command_draws_into_a_file(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["draw", *arguments, "-o", str(root)])
    output = capsys.readouterr()
    assert (ended.value.code, output.out) == (code, "")
    assert said in output.err
    assert Path("c.svg").exists() == (code == 0)
