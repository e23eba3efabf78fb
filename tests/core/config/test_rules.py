"""Rules that span keys: unknown ones, and combinations that cannot be run."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tests.core.conftest import faults, read

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.rules import OLDER_KEYS
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig, config_keys


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("symbol", "symbols"),
        ("output_dir", "output_directory"),
        ("Markets", "markets"),
        ("max_parallel_download", "max_parallel_downloads"),
        ("data-types", "data_types"),
        ("timeout", "timeout_seconds"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(key: str, meant: str) -> None:
    (message,) = faults({key: 1}).values()
    assert message == f"unknown key; did you mean `{meant}`?"


def test_a_key_that_is_near_to_none_is_refused_with_where_to_find_them() -> None:
    assert faults(colour=1) == {
        "$.colour": "unknown key; `crypto-lakehouse config show` lists all keys, with `--lake` "
        "those for tables"
    }


@pytest.mark.parametrize(
    ("key", "path"), [(7, "$.7"), (None, "$.None"), ("", "$."), ("a\nb", r"$.a\nb")]
)
def test_a_key_that_is_no_word_is_named(key: object, path: str) -> None:
    assert list(faults({key: 1})) == [path]


def test_an_older_key_is_no_key_of_today() -> None:
    assert not set(OLDER_KEYS) & set(config_keys())


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    found = faults(date_range={"start": "2025-07-02", "end": "2025-07-01"})
    assert found == {"$.date_range": "start 2025-07-02 is after end 2025-07-01; swap them"}


def test_a_range_of_one_day_is_a_range() -> None:
    config = read(date_range={"start": "2025-07-01", "end": "2025-07-01"})
    assert config.date_range is not None
    assert config.date_range.start == config.date_range.end


@pytest.mark.parametrize("missing", ["symbols", "default_date"])
def test_a_plan_needs_symbols_and_dates(missing: str) -> None:
    path = {"symbols": "$.symbols", "default_date": "$.date_range"}[missing]
    (message,) = faults({missing: None}).values()
    assert list(faults({missing: None})) == [path]
    assert "required" in message


@pytest.mark.parametrize(
    "chosen",
    [{"quote_assets": ["USDT"]}, {"contracts": ["perpetual"]}, {"stable_pairs": "only"}],
)
def test_a_filter_selects_symbols_from_a_listing(chosen: dict[str, Any]) -> None:
    config = read(symbols=None, source_url="https://mirror.example", **chosen)
    assert config.wants_listing
    (message,) = faults(symbols=None, discovery="calendar", **chosen).values()
    assert message.startswith("required with `discovery: calendar`; only a listing names")


def test_symbols_of_each_market_need_a_listing_only_if_one_is_a_pattern() -> None:
    mirror: dict[str, Any] = {"source_url": "https://mirror.example"}
    assert not read(symbols={"spot": ["BTCUSDT"]}, **mirror).wants_listing
    assert read(symbols={"spot": ["BTC*"]}, **mirror).wants_listing


def test_a_faulty_key_is_not_called_missing_as_well() -> None:
    assert list(faults(symbols=["a-b"])) == ["$.symbols[0]"]
    assert list(faults(default_date="tomorrow")) == ["$.default_date"]
    assert list(faults(default_date=None, date_range=7)) == ["$.date_range"]


@pytest.mark.parametrize("values", [{"discovery": "listing"}, {"only": "failed"}])
def test_what_names_its_own_archives_needs_neither_symbols_nor_dates(
    values: dict[str, str],
) -> None:
    config = WorkflowConfig({"output_directory": "o", **values}, environ={})
    assert config.symbols is None
    assert config.date_range is None


@pytest.mark.parametrize(
    ("values", "wants"),
    [
        ({}, True),
        ({"source_url": "http://127.0.0.1:8000"}, False),
        ({"source_url": "http://127.0.0.1:8000", "discovery": "listing"}, True),
        ({"source_url": "http://127.0.0.1:8000", "listing_url": "http://127.0.0.1:8000"}, True),
        ({"discovery": "calendar"}, False),
        ({"only": "failed"}, False),
    ],
)
def test_the_listing_is_the_default_where_one_is_known(
    values: dict[str, str], *, wants: bool
) -> None:
    minimal = {"output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"}
    assert WorkflowConfig({**minimal, **values}, environ={}).wants_listing is wants


def test_the_endpoints_of_the_default_source_are_no_other_sources() -> None:
    minimal = {"output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"}
    other = WorkflowConfig({**minimal, "source_url": "https://mirror.example"}, environ={})
    assert (other.listing_url, other.second_source_url) == (None, None)


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        (
            {"markets": ["spot"], "symbols": {"spot": ["A"], "options": ["B"]}},
            "$.symbols.options",
            "`options` is not among `markets`",
        ),
        (
            {"data_types": ["trades"], "intervals": {"klines": ["1h"]}},
            "$.intervals.klines",
            "`klines` is not among `data_types`",
        ),
    ],
)
def test_a_choice_for_what_is_not_collected_is_refused(
    values: dict[str, Any], path: str, message: str
) -> None:
    assert faults(values) == {path: message}


def test_a_choice_for_what_is_collected_is_taken() -> None:
    config = read(markets=["spot"], symbols={"spot": ["A"]})
    assert config.symbols == {Market.SPOT: ("A",)}
    assert read(symbols={"spot": ["A"], "options": ["B"]}).markets is None
    assert read(data_types=["klines"], intervals=["1h"]).intervals == ("1h",)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "https://mirror.example",
        "https://mirror.example/binance/",
        "https://me:pw@mirror.example",
        "HTTPS://MIRROR.EXAMPLE",
        "http://[::1]:8000/",
        "https://зеркало.example",
    ],
)
def test_an_absolute_url_is_a_source(url: str) -> None:
    config = read(source_url=url, listing_url=url)
    assert (config.source_url, config.listing_url) == (url, url)


@pytest.mark.parametrize("key", ["source_url", "listing_url"])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mirror.example", "absolute http:// or https:// URL"),
        ("//mirror.example", "absolute http:// or https:// URL"),
        ("/srv/archive", "absolute http:// or https:// URL"),
        ("ftp://mirror.example", "absolute http:// or https:// URL"),
        ("file:///srv/archive", "absolute http:// or https:// URL"),
        ("https://", "absolute http:// or https:// URL"),
        ("https:///data", "absolute http:// or https:// URL"),
        ("https://:443", "absolute http:// or https:// URL"),
        ("https://[mirror", "absolute http:// or https:// URL"),
        ("https://mirror.example:port", "absolute http:// or https:// URL"),
        ("https://mirror.example:99999", "absolute http:// or https:// URL"),
        (" https://mirror.example", "must not contain spaces"),
        ("https://mirror.example/a b", "must not contain spaces"),
        ("https://me: pw@mirror.example", "must not contain spaces"),
        ("https://mirror.example/?a=1", "must not have a query or a fragment"),
        ("https://mirror.example/#a", "must not have a query or a fragment"),
    ],
)
def test_what_is_no_plain_url_is_no_source(key: str, url: str, message: str) -> None:
    found = faults({key: url})
    assert list(found) == [f"$.{key}"]
    assert message in found[f"$.{key}"]


@pytest.mark.parametrize("url", ["https://h/a", "file:///a", "ftp://b", "HDFS://b"])
def test_an_output_of_another_kind_is_refused(url: str) -> None:
    scheme = url.partition("://")[0].lower()
    (message,) = faults(output_directory=url).values()
    assert message.startswith(f"`{scheme}://` is not supported; use s3:// (Amazon S3), gs://")


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://bucket/",
        "S3://b-1.x/a/b c/",
        "s3://bucket//",
        "gs://bucket/p",
        "az://box/p/币",
    ],
)
def test_an_object_store_is_an_output(url: str) -> None:
    assert read(output_directory=url).output_directory == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "is not the name of a bucket"),
        ("s3:///a", "is not the name of a bucket"),
        ("s3://a_é/b", "is not the name of a bucket"),
        ("s3://bucket:1/b", "is not the name of a bucket"),
        ("s3://key:secret@bucket/b", "must not contain credentials"),
        ("s3://bucket/a?X-Amz-Signature=1", "must not have a query"),
        ("s3://bucket/a#b", "must not have a query or a fragment"),
        ("s3://bucket/a/../b", "is not a key prefix"),
        ("s3://bucket/./b", "is not a key prefix"),
        ("s3://bucket/a//b", "is not a key prefix"),
        ("s3://bucket//b", "is not a key prefix"),
        ("s3://bucket/%2e%2E/b", "is not a key prefix"),
        ("s3://bucket/a\\b", "is not a key prefix"),
        ("s3://[bucket/a", "not a URL"),
    ],
)
def test_a_url_that_is_no_prefix_of_a_bucket_is_refused(url: str, message: str) -> None:
    (found,) = faults(output_directory=url).values()
    assert message in found
    assert "secret" not in found


@pytest.mark.parametrize(
    ("storage", "place", "message"),
    [
        ("s3", "$.storage", "must be a mapping, such as {endpoint: URL}"),
        ({"endpoints": "x"}, "$.storage", "unknown key `endpoints`; did you mean `endpoint`?"),
        ({"zzz": "x"}, "$.storage", "unknown key `zzz`; keys: endpoint, region"),
        ({"secret_access_key": "x"}, "$.storage", "secrets come from the environment"),
        ({"region": 7}, "$.storage", "`region` must be text, not `7`"),
        ({"region": " "}, "$.storage", "`region` must be text, not ` `"),
        ({"virtual_hosted_style": "no"}, "$.storage", "must be true or false, not `no`"),
        ({"endpoint": "https://h//a"}, "$.storage", "`endpoint` must not contain `//`, `.` or"),
        ({"endpoint": "https://h/a/../b"}, "$.storage", "`endpoint` must not contain `//`, `.`"),
        ({"endpoint": "minio"}, "$.storage.endpoint", "must be an absolute http:// or https://"),
        ({"endpoint": "http://minio:9000"}, "$.storage.endpoint", "neither encrypted nor"),
    ],
)
def test_wrong_settings_of_a_store_are_refused(storage: Any, place: str, message: str) -> None:
    found = faults(output_directory="s3://bucket", storage=storage)
    assert list(found) == [place]
    assert message in found[place]


def test_a_state_directory_at_a_url_is_refused() -> None:
    found = faults(output_directory="s3://bucket/b", state_directory="s3://bucket/state")
    assert list(found) == ["$.state_directory"]
    assert found["$.state_directory"].startswith("must be a local directory, not a URL")


def test_an_endpoint_may_have_a_path_and_slashes_at_its_end() -> None:
    storage = {"endpoint": "http://127.0.0.1:9000/account/v1//"}
    assert read(output_directory="s3://bucket/", storage=storage).storage == storage


def test_an_endpoint_without_tls_is_named_twice() -> None:
    storage = {"endpoint": "http://minio:9000"}
    config = read(output_directory="s3://bucket", storage=storage, allow_http=True)
    assert config.storage == storage
    local = {"endpoint": "http://127.0.0.1:9000", "region": "auto"}
    assert read(output_directory="s3://bucket", storage=local).storage == local


def test_a_directory_has_no_endpoint() -> None:
    storage = {"endpoint": "https://account.r2.cloudflarestorage.com"}
    assert faults(output_directory="bucket/prefix", storage=storage) == {
        "$.storage.endpoint": "only for an output in an object store; `bucket/prefix` is a "
        "directory"
    }


@pytest.mark.parametrize(
    ("fill", "place", "message"),
    [
        ("now", "$.fill", "must be a mapping, such as {until: now}"),
        ({"untill": "now"}, "$.fill", "unknown key `untill`; did you mean `until`?"),
        ({"until": "today"}, "$.fill", "neither `now` nor a calendar day"),
        ({"until": "20260507"}, "$.fill", "neither `now` nor a calendar day"),
        ({"until": 7}, "$.fill", "`until` must be `now` or a day"),
        ({"only_holes": "yes"}, "$.fill", "`only_holes` must be true or false"),
        ({"urls": "x"}, "$.fill", "`urls` must be a mapping"),
        (
            {"urls": {"um": "https://a.example"}},
            "$.fill",
            "unknown market `um`; known: spot, futures_um",
        ),
        ({"urls": {"spot": ["https://u:secret@x"]}}, "$.fill", "`urls.spot` must be a URL"),
        ({"urls": {"spot": "a.example"}}, "$.fill.urls.spot", "must be an absolute http"),
        ({"urls": {"spot": "http://a.example"}}, "$.fill.urls.spot", "neither encrypted nor"),
    ],
)
def test_wrong_settings_of_a_fill_are_refused(fill: Any, place: str, message: str) -> None:
    found = faults(fill=fill)
    assert list(found) == [place]
    assert message in found[place]
    assert "secret" not in found[place]


@pytest.mark.parametrize(
    ("record", "place", "message"),
    [
        ("1h", "$.record", "must be a mapping, such as {rotate: 1h}"),
        ({"rotat": "1h"}, "$.record", "unknown key `rotat`; did you mean `rotate`?"),
        ({"rotate": "7m"}, "$.record", "unknown length `7m`; "),
        ({"rotate": 5}, "$.record", "unknown length `5`; "),
        ({"ingest": "yes"}, "$.record", "`ingest` must be true or false, not `yes`"),
        ({"snapshots": "3m"}, "$.record", "`snapshots`: unknown length `3m`; "),
        ({"streams": []}, "$.record", "`streams` must be a list of streams"),
        ({"streams": 7}, "$.record", "`streams` must be a list of streams"),
        ({"streams": "trades"}, "$.record", "unknown stream `trades`; did you mean `trade`?"),
        ({"urls": "x"}, "$.record", "`urls` must be a mapping"),
        ({"urls": {"xx": "wss://a.example"}}, "$.record", "unknown market `xx`; known: spot"),
        ({"urls": {"spot": ["wss://u:secret@x"]}}, "$.record", "`urls.spot` must be a URL"),
        ({"urls": {"spot": "https://a.example"}}, "$.record.urls.spot", "must be an absolute wss"),
        ({"urls": {"spot": "wss://[x"}}, "$.record.urls.spot", "not a URL"),
        ({"urls": {"spot": "wss://a.example?q"}}, "$.record.urls.spot", "a query or a fragment"),
        ({"urls": {"spot": "ws://a.example"}}, "$.record.urls.spot", "neither encrypted nor"),
    ],
)
def test_wrong_settings_of_a_recording_are_refused(record: Any, place: str, message: str) -> None:
    found = faults(record=record)
    assert list(found) == [place]
    assert message in found[place]
    assert "secret" not in found[place]


def test_one_stream_is_a_list_of_one() -> None:
    assert read(record={"streams": "trade"}).record == {"streams": ["trade"]}
    assert read(record={"urls": {"spot": "ws://127.0.0.1:1"}}).record == {
        "urls": {"spot": "ws://127.0.0.1:1"}
    }


def test_the_days_of_a_fill_may_be_dates() -> None:
    assert read(fill={"until": date(2026, 5, 7)}).fill == {"until": "2026-05-07"}


@pytest.mark.parametrize("path", ["out", "/srv/a b", "C:\\a", "C:/a", "//[x", "a:b", "./s3://b"])
def test_any_local_path_is_an_output(path: str) -> None:
    assert read(output_directory=path).output_directory == path


@pytest.mark.parametrize(
    ("chosen", "path", "message"),
    [
        ({"dask_scheduler": "h:8786"}, "$.dask_scheduler", "tcp://host:8786"),
        ({"executor": "dask", "dask_scheduler": "tcp://h"}, "$.dask_scheduler", "tcp://host:8786"),
        ({"executor": "dask", "dask_scheduler": "tcp://h:x"}, "$.dask_scheduler", "tcp://host"),
        ({"executor": "dask", "dask_scheduler": "tcp://u:p@h:1"}, "$.dask_scheduler", "tcp://host"),
        (
            {"executor": "dask", "dask_scheduler": "tls://h:1", "shared_directory": False},
            "$.output_directory",
            "`o` is a directory of this machine",
        ),
    ],
)
def test_a_cluster_that_cannot_work_is_refused(
    chosen: dict[str, Any], path: str, message: str
) -> None:
    found = faults({"output_directory": "o", "shared_directory": True, **chosen})
    assert list(found) == [path]
    assert message in found[path]
    assert "u:p" not in found[path]


@pytest.mark.parametrize(
    "chosen",
    [
        {"executor": "dask"},
        {"executor": "dask", "dask_scheduler": None},
        {"executor": "dask", "dask_scheduler": "tcp://[::1]:8786", "shared_directory": True},
        {"executor": "dask", "dask_scheduler": "tls://h:1", "output_directory": "s3://bucket"},
    ],
)
def test_a_cluster_that_sees_the_output_is_taken(chosen: dict[str, Any]) -> None:
    assert read(chosen).executor == "dask"
