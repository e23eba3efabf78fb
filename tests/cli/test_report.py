"""`crypto-lakehouse report`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import SELECTION, Shell

from crypto_lakehouse.testing import ArchiveServer


def test_a_page_is_written_beside_or_to_standard_output(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    url = archive_server.url
    collect = ["collect", "-o", "out", *SELECTION, "-i", "1h", "--discovery", "calendar", "-q"]
    assert shell(*collect, "--source-url", url)[0] == 0
    code, out, err = shell("report", "-o", "out", "-t", "klines", "--html", "page.html")
    assert (code, out) == (0, "")
    page = (tmp_path / "page.html").read_text()
    assert page.endswith("</html>\n")
    assert f"written: page.html, {len(page.encode()) / 1000:.1f} kB\n" in err
    code, _, err = shell("report", "-o", "out", "-s", "NONE", "--of", "asked", "--html", "x.html")
    assert code == 0, "as with `status --origins`, a series may be recorded alone"
    assert "No series has a day." in (tmp_path / "x.html").read_text()
    code, _, err = shell("report", "-o", "out", "--html", "none/page.html")
    assert code == 2
    assert "page.html`: cannot be written" in err.replace("page.html:", "page.html`:")
    assert shell("report", "-o", "out")[0] == 2
    (tmp_path / "c.yaml").write_text("output_directory: out\nfreshness: {spot/klines: 1h}\n")
    assert shell("report", "--config", "c.yaml", "--html", "page.html")[0] == 0
    assert "at most 1.0 h are allowed" in (tmp_path / "page.html").read_text()
