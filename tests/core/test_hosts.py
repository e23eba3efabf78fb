"""Which hosts may be asked without TLS, and what is said of addresses that nobody serves from."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.conftest import ENVIRONMENT, faults, read

from crypto_lakehouse.core.hosts import is_loopback, kind_of_address

HERE = ["localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.localhost.", "127.0.0.1",
        "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"]  # fmt: skip
ELSEWHERE = ["mirror.example", "localhost.example", "mylocalhost", "126.0.0.1", "128.0.0.1",
             "10.0.0.1", "127.1", "2130706433", "::2", "::", "0.0.0.0", "",
             "127.0.0.1.example"]  # fmt: skip
URLS = ("source_url", "second_source_url", "listing_url")


@pytest.mark.parametrize("host", HERE)
def test_this_machine_is_known_by_its_names_and_addresses(host: str) -> None:
    assert is_loopback(host)
    assert kind_of_address(host) == "loopback"


@pytest.mark.parametrize("host", ELSEWHERE)
def test_any_other_name_is_another_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("fd00::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:8.8.8.8", ""),
        ("8.8.8.8", ""),
        ("2606:4700::1", ""),
        ("mirror.example", ""),
    ],
)
def test_an_address_that_no_public_source_has_is_named(host: str, kind: str) -> None:
    assert kind_of_address(host) == kind


@pytest.mark.parametrize("key", URLS)
@pytest.mark.parametrize(
    "url", ["http://mirror.example", "HTTP://10.0.0.1:8000/x", "http://[::2]/", "http://127.1"]
)
def test_http_to_another_machine_is_refused_unless_it_is_allowed(key: str, url: str) -> None:
    found = faults({key: url})
    assert list(found) == [f"$.{key}"]
    assert "https://" in found[f"$.{key}"]
    assert "`allow_http: true`" in found[f"$.{key}"]
    assert getattr(read({key: url}, allow_http=True), key) == url
    assert getattr(read({key: url}, {f"{ENVIRONMENT}ALLOW_HTTP": "1"}), key) == url
    assert faults({key: url}, allow_http=True, overrides={"allow_http": False}) == found


@pytest.mark.parametrize("key", URLS)
@pytest.mark.parametrize("host", ["localhost:1", "127.9.9.9", "[::1]:8000", "x.localhost"])
def test_http_to_this_machine_is_always_allowed(key: str, host: str) -> None:
    url = f"http://{host}/data"
    assert getattr(read({key: url}), key) == url


def test_each_such_url_is_told_with_everything_else() -> None:
    urls: dict[str, Any] = dict.fromkeys(URLS, "http://me:hunter2@mirror.example")
    found = faults(urls, max_retries=99)
    assert set(found) == {"$.max_retries", *(f"$.{key}" for key in URLS)}
    assert all("`mirror.example`" in found[f"$.{key}"] for key in URLS)
    assert "hunter2" not in str(found)


def test_where_the_leave_itself_is_faulty_nothing_is_said_of_the_urls() -> None:
    found = faults(source_url="http://mirror.example", allow_http="perhaps")
    assert list(found) == ["$.allow_http"]


def test_a_default_source_needs_no_leave() -> None:
    assert read().allow_http is False


@pytest.mark.parametrize(
    "host",
    ["①.example", "a。example", "localhost%2f.example", "a%40b", "a'b", "`", "..", "-a", "a_-",
     "a/../b".replace("/", "\\"), "][::1", "xn--ahttps", "\u2100.example"],
)  # fmt: skip
def test_a_host_that_a_client_would_refuse_or_read_differently_is_none(host: str) -> None:
    """An HTTP client's own words would quote the user information."""
    for key in URLS:
        found = faults({key: f"https://me:hunter2@{host}/data"})
        assert list(found) == [f"$.{key}"]
        assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "host",
    ["mirror.example", "a_b.example", "mirror.example.", "зеркало.example", "xn--80ajjhbf.example",
     "[2001:db8::1]:8443", "币安.example", "10.0.0.1"],
)  # fmt: skip
def test_a_host_in_any_script_is_one(host: str) -> None:
    url = f"https://me:p%40ss@{host}/data"
    assert read(source_url=url).source_url == url
