"""`export`, as a person or a script runs it; tests/tables/export has the files."""

from __future__ import annotations

import json
import re

import pytest
from tests.cli.conftest import Shell

TO = ("--to", "to")


def test_files_are_written_and_counted(shell: Shell, lake: str) -> None:
    given = ("export", "-o", lake, "--for", "freqtrade", *TO)
    code, out, err = shell(*given)
    assert code == 0
    assert re.fullmatch(r"to: 2 files written \(120 rows, \d\.\d kB\), 0 unchanged\n", out)
    assert err == "written: BTC_USDT-1h.feather: 72 rows\nwritten: ETH_USDT-1h.feather: 48 rows\n"
    assert shell(*given) == (0, "to: 0 files written (0 rows, 0 B), 2 unchanged\n", "")
    code, out, err = shell("export", "-o", lake, "--for", "csv", "--to", "csv", "-i", "1h",
                           "-s", "ETH*", "--markets", "spot", "-t", "klines", "--json")  # fmt: skip
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert report["written"] == ["spot/klines/ETHUSDT/1h/ETHUSDT-1h-2023.csv"]
    assert (report["target"], report["rows"], report["unchanged"]) == ("csv", 48, 0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--for", "freqtrad", *TO), "--for: `freqtrad` is no target; allowed: freqtrade, "),
        (("--for", "csv", *TO, "-t", "kline"), "--data-types: `kline` is unknown; allowed: "),
        (("--for", "csv", *TO, "-i", "1x", "-s", ""), "--symbols: must not be empty; leave "),
        (("--for", "vectorbt", *TO, "-t", "trades"), "--data-types: `vectorbt` has no files for "),
        (("--for", "csv", *TO, "-s", "BTC"), "export: the lake has no such rows of `BTC`"),
        (("--for", "csv", "--to", "s3://bucket/to"), "--to: `s3://bucket/to` is a URL; name a "),
        (("--for", "csv", "--to", "-"), "`-` is not standard output here; name a file"),
    ],
)
def test_bad_input_gets_a_sentence(
    shell: Shell, lake: str, more: tuple[str, ...], message: str
) -> None:
    code, out, err = shell("export", "-o", lake, *more)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_folder_of_the_output_is_refused(shell: Shell, lake: str) -> None:
    for folder in (lake, f"{lake}/data/new", f"{lake}/.lakehouse"):
        code, _, err = shell("export", "-o", lake, "--for", "csv", "--to", folder)
        assert code == 2
        assert "is a folder of the output itself; name one beside it" in err
