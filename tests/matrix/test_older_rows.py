"""Rows of the older formats that no correction can mend are refused, all faults at once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.matrix.test_older_formats import BUCKET, read, second

from crypto_lakehouse.core.errors import MatrixError


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"market": "spott"}, ".market", "did you mean `spot`?"),
        ({"data_type": "kline"}, ".data_type", "did you mean `klines`?"),
        ({"data_type": None}, ".data_type", "must be text"),
        ({"intervals": "1h"}, ".intervals", "must be a list"),
        ({"intervals": ["1h", "1x"]}, ".intervals[1]", "unknown interval `1x`"),
        ({"intervals": [{"1h": 1}]}, ".intervals[0]", "must be text"),
        ({"data_type": "premiumIndex", "intervals": ["5d"]}, ".intervals[0]", "interval `5d`"),
        ({"partitions": None}, ".partitions", "must be a list"),
        ({"partitions": []}, ".partitions", "must name daily"),
        ({"partitions": ["weekly"]}, ".partitions[0]", "unknown partition `weekly`"),
        ({"available": "no"}, ".available", "must be true or false"),
        ({"available_from": "2019-13-01"}, ".available_from", "not a calendar day"),
        ({"url_pattern": f"{BUCKET}../x"}, ".url_pattern", "holds `..`"),
        ({"url_pattern": f"{BUCKET}data/spot/{{partition}}/../x"}, ".url_pattern", "holds `..`"),
        ({"url_pattern": "/etc"}, ".url_pattern", "absolute path"),
        ({"url_pattern": "C:/x"}, ".url_pattern", "absolute path"),
        ({"url_pattern": "data\\spot"}, ".url_pattern", "backslash"),
        ({"url_pattern": "s3://other/data/spot/{partition}/"}, ".url_pattern", "archive's layout"),
        ({"url_pattern": "data/futures/um/{partition}/"}, ".url_pattern", "archive's layout"),
        ({"path_pattern": "file://data/spot/{partition}/"}, ".path_pattern", "archive's layout"),
        ({"filename_pattern": "a\0b"}, ".filename_pattern", "control character"),
        ({"filename_pattern": "../{symbol}"}, ".filename_pattern", "holds `..`"),
        ({"filename_pattern": "x/{symbol}"}, ".filename_pattern", "cannot stand in a file name"),
        ({"filename_pattern": 7}, ".filename_pattern", "must be text"),
        ({"market": 7, "url_pattern": "s3://x"}, ".url_pattern", "archive's layout"),
        ({"data_type": "klines"}, "", "`spot klines` stands at $.availability_matrix[0] already"),
    ],
)
def test_what_cannot_be_corrected_is_refused(
    changes: dict[str, Any], place: str, message: str
) -> None:
    with pytest.raises(MatrixError) as caught:
        read([second(), {**second(), **changes}])
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert message in found[f"$.availability_matrix[1]{place}"]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(MatrixError) as caught:
        read([second(), 7, {**second(intervals=["1x"], url_pattern="/"), "market": "spott"}, {}])
    assert sorted(problem.path for problem in caught.value.problems) == [
        "$.availability_matrix[1]",
        "$.availability_matrix[2].intervals[0]",
        "$.availability_matrix[2].market",
        "$.availability_matrix[2].url_pattern",
        *(
            f"$.availability_matrix[3].{name}"
            for name in ("data_type", "intervals", "market", "partitions")
        ),
    ]
