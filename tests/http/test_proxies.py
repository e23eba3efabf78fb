"""Which proxy a request goes through, by configuration and environment."""

from __future__ import annotations

import doctest
import os
from pathlib import Path
from typing import Any
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from crypto_lakehouse.core.config.proxy_settings import PROXY_PORTS, proxy_url_fault
from crypto_lakehouse.core.errors import ConfigurationError, ExtraMissing
from crypto_lakehouse.http import proxies as module
from crypto_lakehouse.http.proxies import Proxies, check_proxies

HTTP, HTTPS = URL("http://mirror.example/x"), URL("https://mirror.example/x")
ONE, OTHER = "http://one.example:1", "http://other.example:2"
SECRET = "hunter2"


def chosen(environ: dict[str, str], setting: str = "environment") -> list[str | None]:
    """The proxies of a URL without TLS and of one with TLS."""
    proxies = Proxies.of(setting, environ)
    found = (proxies.for_url(HTTP), proxies.for_url(HTTPS))
    return [None if url is None else str(url) for url in found]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, [None, None]),
        ({"HTTP_PROXY": ONE}, [ONE, None]),
        ({"http_proxy": ONE}, [ONE, None]),
        ({"HTTPS_PROXY": ONE}, [None, ONE]),
        ({"https_proxy": ONE, "http_proxy": OTHER}, [OTHER, ONE]),
        ({"ALL_PROXY": ONE}, [ONE, ONE]),
        ({"all_proxy": ONE, "HTTPS_PROXY": OTHER}, [ONE, OTHER]),
        ({"HTTPS_PROXY": OTHER, "https_proxy": ONE}, [None, ONE]),
        ({"ALL_PROXY": OTHER, "all_proxy": ONE}, [ONE, ONE]),
        ({"HTTPS_PROXY": ""}, [None, None]),
        ({"HTTPS_PROXY": OTHER, "https_proxy": ""}, [None, None]),
        ({"https_proxy": "", "ALL_PROXY": ONE}, [ONE, ONE]),
        ({"HTTP_PROXY": ONE, "REQUEST_METHOD": "GET"}, [None, None]),
        ({"http_proxy": ONE, "REQUEST_METHOD": "GET"}, [ONE, None]),
        ({"HTTPS_PROXY": ONE, "REQUEST_METHOD": "GET"}, [None, ONE]),
        ({"ALL_PROXY": ONE, "REQUEST_METHOD": "GET"}, [ONE, ONE]),
        ({"ALL_PROXY": ONE, "NO_PROXY": "mirror.example"}, [None, None]),
        ({"ALL_PROXY": ONE, "NO_PROXY": "mirror.example:443"}, [ONE, None]),
        ({"ALL_PROXY": ONE, "NO_PROXY": "*", "no_proxy": "a.example"}, [ONE, ONE]),
        ({"ALL_PROXY": ONE, "NO_PROXY": "*", "no_proxy": ""}, [ONE, ONE]),
        ({"FTP_PROXY": ONE, "proxy": ONE, "Https_Proxy": ONE}, [None, None]),
        ({"https_proxy": " one.example:1 "}, [None, ONE]),
        ({"https_proxy": "me:pw@one.example:1"}, [None, "http://me:pw@one.example:1"]),
        ({"https_proxy": "one.example"}, [None, "http://one.example"]),
    ],
)
def test_the_environment_is_read_as_other_tools_read_it(
    environ: dict[str, str], expected: list[str | None]
) -> None:
    assert chosen(environ) == expected


@given(
    st.dictionaries(
        st.sampled_from(["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy",
                         "ALL_PROXY", "no_proxy", "NO_PROXY"]),
        st.sampled_from(["", ONE, OTHER, "mirror.example"]),
    )
)  # fmt: skip
def test_it_is_read_as_the_standard_library_reads_it(environ: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environ)
        found = getproxies_environment()
        expected = [
            None
            if proxy_bypass_environment("mirror.example", found)
            else found.get(scheme, found.get("all"))
            for scheme in ("http", "https")
        ]
    assert chosen(environ) == [
        each if each is None or "://" in each else f"http://{each}" for each in expected
    ]


def test_a_proxy_of_the_configuration_is_for_every_origin() -> None:
    environ = {"HTTPS_PROXY": OTHER, "HTTP_PROXY": "not read"}
    assert chosen(environ, ONE) == [ONE, ONE]
    assert chosen({**environ, "NO_PROXY": "mirror.example"}, ONE) == [None, None]


def test_none_is_never() -> None:
    environ = {"ALL_PROXY": "no proxy at all", "HTTPS_PROXY": "ftp://x"}
    assert chosen(environ, "none") == [None, None]
    assert Proxies.of("none", environ).describe([HTTP, HTTPS]) == ""


@pytest.mark.parametrize("setting", ["environment", ONE])
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "https://localhost/x", "https://a.LOCALHOST./", "http://[::1]/"]
)
def test_this_machine_is_never_asked_through_a_proxy(setting: str, url: str) -> None:
    proxies = Proxies.of(setting, {"ALL_PROXY": ONE, "NO_PROXY": ""})
    assert proxies.for_url(URL(url)) is None
    assert proxies.describe([URL(url)]) == ""


def test_other_schemes_have_no_proxy() -> None:
    assert Proxies.of(ONE, {}).for_url(URL("ftp://mirror.example")) is None


@pytest.mark.parametrize("scheme", PROXY_PORTS)
def test_a_proxy_comes_with_its_port_and_its_user(scheme: str) -> None:
    url = Proxies.of(f"{scheme.upper()}://m%40e:p%2F%25@proxy.example/", {}).for_url(HTTPS)
    assert url is not None
    assert (url.scheme, url.host, url.port) == (scheme, "proxy.example", PROXY_PORTS[scheme])
    assert (url.user, url.password) == ("m@e", "p/%")
    bare = Proxies.of(f"{scheme}://[2001:db8::1]:3128", {}).for_url(HTTPS)
    assert bare is not None
    assert (bare.host, bare.port, bare.user, bare.password) == ("2001:db8::1", 3128, None, None)


@pytest.mark.parametrize(
    ("text", "user", "password"),
    [("me@h", "me", None), ("me:@h", "me", ""), ("me:p@w@h", "me", "p@w"), (":pw@h", None, "pw"),
     ("me:a:b@h", "me", "a:b"), ("me:50%@h", "me", "50%"), ("@h", None, None)],
)  # fmt: skip
def test_user_information_is_taken_as_it_is_written(
    text: str, user: str | None, password: str | None
) -> None:
    url = Proxies.of(f"http://{text}", {}).for_url(HTTPS)
    assert url is not None
    assert (url.host, url.user, url.password) == ("h", user, password)


@given(st.text())
def test_every_url_without_a_fault_is_a_proxy(text: str) -> None:
    for url in (f"http://{text}", f"socks5://{text}@h", f"https://me:{text}@proxy.example:1"):
        if not proxy_url_fault(url):
            assert Proxies.of(url, {}).for_url(HTTPS) is not None


# Faults ----------------------------------------------------------------------------------------


def faults(environ: dict[str, str]) -> dict[str, str]:
    """Path and message of each problem of the environment."""
    with pytest.raises(ConfigurationError) as refused:
        Proxies.of("environment", environ)
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(refused.value)
    assert refused.value.__cause__ is None
    return {problem.path: problem.message for problem in refused.value.problems}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("socks://me:hunter2@h:1", "did you mean `socks5`?"),
        ("me:hunter2@h:port", "`http://***@h:port` has a host or a port that is not valid"),
        ("http://me:hunter2@", "has a host or a port that is not valid"),
        ("me:/hunter2@h", "percent-encoded"),
        ("http://me:#hunter2@h", "percent-encoded"),
        ("me:p://hunter2@h", "percent-encoded"),
        ("http://me:hunter2@h/path", "must end after host and port"),
        ("http://me: hunter2@h", "must not contain spaces or control"),
    ],
)
def test_a_variable_that_is_no_proxy_is_named(text: str, why: str) -> None:
    (message,) = faults({"HTTPS_PROXY": text}).values()
    assert why in message
    assert message.endswith("; or set `proxy: none`")


def test_all_variables_that_count_are_named_once() -> None:
    assert list(faults({"http_proxy": "x:y", "HTTPS_PROXY": "ftp://x"})) == [
        "http_proxy",
        "HTTPS_PROXY",
    ]
    assert list(faults({"ALL_PROXY": "ftp://x"})) == ["ALL_PROXY"]


def test_a_variable_that_does_not_count_is_not_read() -> None:
    desktop = {"HTTP_PROXY": ONE, "HTTPS_PROXY": ONE, "ALL_PROXY": "socks://h:1"}
    assert chosen(desktop) == [ONE, ONE]
    assert chosen({"https_proxy": ONE, "HTTPS_PROXY": "ftp://x"}) == [None, ONE]
    assert chosen({"http_proxy": "", "HTTP_PROXY": "ftp://x"}) == [None, None]


# What is said ----------------------------------------------------------------------------------


def test_each_origin_is_said_once_with_its_way() -> None:
    environ = {"HTTPS_PROXY": f"me:{SECRET}@one.example:1", "all_proxy": "socks5h://other.example",
               "NO_PROXY": "s3.example"}  # fmt: skip
    proxies = Proxies.of("environment", environ)
    urls = ["https://mirror.example/a", "https://me:pw@mirror.example/b", "https://cdn.example:8443",
            "http://plain.example/", "https://s3.example/bucket"]  # fmt: skip
    assert proxies.describe(map(URL, urls)) == (
        "proxy: https://mirror.example, https://cdn.example:8443 via "
        "http://***@one.example:1 (HTTPS_PROXY); "
        "http://plain.example via socks5h://other.example:1080 (all_proxy); "
        "https://s3.example directly"
    )
    assert proxies.describe([]) == ""


@pytest.mark.parametrize("password", [SECRET, f"p%2F{SECRET}", f"p@{SECRET}", f"%40{SECRET}%23"])
def test_no_text_shows_a_secret(password: str) -> None:
    for environ in ({}, {"ALL_PROXY": f"me:{password}@h:1"}):
        setting = "environment" if environ else f"http://me:{password}@h:1"
        proxies = Proxies.of(setting, environ)
        for text in (repr(proxies), str(proxies), proxies.describe([HTTP, HTTPS])):
            assert SECRET not in text
            assert "***@h" in text
    assert "None" not in repr(Proxies.of("none", {}))


def test_the_example_is_true() -> None:
    assert doctest.testmod(module) == (0, 3)


def test_no_file_of_passwords_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine one.example login me password hunter2\ndefault")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert chosen({"ALL_PROXY": ONE}) == [ONE, ONE]


# Packages --------------------------------------------------------------------------------------


@pytest.fixture
def without_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        assert name == "aiohttp_socks"

    monkeypatch.setattr(module, "find_spec", find)


@pytest.mark.usefixtures("without_socks")
@pytest.mark.parametrize("scheme", [scheme for scheme in PROXY_PORTS if "socks" in scheme])
def test_a_socks_proxy_needs_its_package(scheme: str) -> None:
    proxies = Proxies.of(f"{scheme}://me:{SECRET}@h", {})
    with pytest.raises(ExtraMissing) as missing:
        check_proxies(proxies, [HTTPS])
    assert missing.value.extra == "socks"
    assert str(missing.value) == (
        f"the proxy {scheme}://***@h:1080 needs aiohttp-socks and python-socks; "
        "install them with `pip install 'crypto-lakehouse[socks]'`"
    )


@pytest.mark.usefixtures("without_socks")
def test_what_is_not_used_needs_no_package() -> None:
    environ = {"HTTP_PROXY": "socks5://h", "HTTPS_PROXY": ONE, "NO_PROXY": "s3.example"}
    proxies = Proxies.of("environment", environ)
    check_proxies(proxies, [HTTPS, URL("http://127.0.0.1"), URL("http://s3.example")])
    check_proxies(Proxies.of("environment", {}), [HTTP, HTTPS])


def test_a_socks_proxy_with_its_package_is_fine() -> None:
    check_proxies(Proxies.of("socks5h://h", {}), [HTTPS])
