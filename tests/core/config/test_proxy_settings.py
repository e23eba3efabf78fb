"""How proxies are written, what is said where they are not, and that their secrets never show."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import ENVIRONMENT, faults, read

from crypto_lakehouse.core.config.proxy_settings import (
    PROXY_PORTS,
    masked_proxy,
    proxy_fault,
    proxy_url_fault,
)
from crypto_lakehouse.core.errors import ConfigurationError

SECRET = "hunter2"


@pytest.mark.parametrize("scheme", [*PROXY_PORTS, "HTTP", "Socks5H"])
@pytest.mark.parametrize(
    "rest",
    ["proxy.example", "proxy.example:3128", "proxy.example/", "10.0.0.1:1", "[::1]:65535",
     "me:pw@proxy.example", "me@proxy.example", "me:p%40w%2F%23@proxy.example", "me:p@w@h",
     "a,b:[c]{d}@h", "bücher.example"],
)  # fmt: skip
def test_proxies_are_urls_of_a_host(scheme: str, rest: str) -> None:
    assert read(proxy=f"{scheme}://{rest}").proxy == f"{scheme}://{rest}"
    assert read(overrides={"proxy": f"{scheme}://{rest}"}).proxy == f"{scheme}://{rest}"
    assert read(environ={f"{ENVIRONMENT}PROXY": f"{scheme}://{rest}"}).proxy == f"{scheme}://{rest}"


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("enviroment", "did you mean `environment`?"),
        ("None", "did you mean `none`?"),
        ("system", "allowed: environment, none, a URL"),
        ("", "allowed: environment, none, a URL"),
        ("proxy.example:3128", "no scheme; write it as http://"),
        ("localhost:3128", "no scheme"),
        ("socks://h:1", "did you mean `socks5`?"),
        ("ftp://h", "allowed: http, https, socks5, socks5h, socks4, socks4a"),
        ("file:///proxy", "that proxies do not have"),
        ("http://", "has a host or a port that is not valid"),
        ("http:///", "has a host or a port that is not valid"),
        ("http://:3128", "has a host or a port that is not valid"),
        ("http://me@", "has a host or a port that is not valid"),
        ("http://h:port", "a port that is not valid"),
        ("http://h:65536", "a port that is not valid"),
        ("http://h:0", "port 0"),
        ("http://[::1", "has a host or a port that is not valid"),
        ("http://a]b", "has a host or a port that is not valid"),
        ("http://h\\x", "has a host or a port that is not valid"),
        ("http://①", "has a host or a port that is not valid"),
        ("http://h/path", "must end after host and port"),
        ("http://h//", "must end after host and port"),
        ("http://h?q", "must end after host and port"),
        ("http://h#f", "must end after host and port"),
        ("http://h o", "must not contain spaces or control"),
        ("http://h\n", "must not contain spaces or control"),
        ("http://h\x00", "or control characters"),
        ("socks5://me:ü@h", "255 ASCII characters"),
        ("socks4a://%C3%BC@h", "255 ASCII characters"),
        ("socks5h://me:" + "%2F" * 256 + "@h", "255 ASCII characters"),
        ("http://me:p/w@h", "%2F for a slash"),
        ("http://me:p#w@h", "%23 for a hash"),
        ("http://me:p?w@h", "%3F for a question mark"),
    ],
)
def test_what_is_no_proxy_is_refused_with_what_to_do(setting: str, why: str) -> None:
    assert why in proxy_fault(setting)
    (message,) = faults(proxy=setting).values()
    assert message == proxy_fault(setting)


def test_a_long_password_and_one_in_any_script_are_proxies_where_they_can_be_sent() -> None:
    assert proxy_fault("socks5://me:" + "%2F" * 255 + "@h") == ""
    assert proxy_fault("http://me:" + "ü" * 256 + "@h") == ""


@pytest.mark.parametrize(
    "value", [["http://me:hunter2/@h"], {"https": "me:hunter2@h:1"}, 3128, True, b"http://h"]
)
def test_a_proxy_is_text(value: Any) -> None:
    (message,) = faults(proxy=value).values()
    assert "must be text" in message
    assert SECRET not in message


def test_an_empty_variable_leaves_the_default() -> None:
    assert read(environ={f"{ENVIRONMENT}PROXY": ""}).proxy == "environment"
    assert read(environ={f"{ENVIRONMENT}PROXY": " none "}).proxy == "none"


#: Ways in which people write user names and passwords, well or badly.
USERS = ["me:hunter2", "hunter2", "hunter2:x", ":hunter2", "me:%40hunter2%2F", "me:hunter2%",
         "me:@hunter2", "me@corp.example:hunter2", "me:/hunter2", "me:hunter2/x", "me:#hunter2",
         "me:?hunter2#", "me: hunter2", "me:http://hunter2", "me:hunter2\u2100", "me:'hunter2",
         'me:"hunter2', "me:hunter2\\", "me:" + "hunter2" * 50]  # fmt: skip
PLACES = ["h", "proxy.example:3128", "h:port", "[h", "h/path", "h?query", "", "h o"]


@pytest.mark.parametrize("scheme", ["http://", "HTTPS://", "socks5h://", "ftp://", ""])
@pytest.mark.parametrize("user", USERS)
def test_a_password_is_never_shown(user: str, scheme: str) -> None:
    for text in (f"{scheme}{user}@{place}" for place in PLACES):
        assert SECRET not in masked_proxy(text)
        _check_that_nothing_shows(values={"proxy": text})
        _check_that_nothing_shows(environ={f"{ENVIRONMENT}PROXY": text})


def _check_that_nothing_shows(**given_as: Any) -> None:
    try:
        config = read(**given_as)
    except ConfigurationError as error:
        assert SECRET not in str(error)
        assert SECRET not in repr(error)
        assert error.__cause__ is None
    else:
        for shown in (repr(config), str(config), json.dumps(config.to_mapping())):
            assert SECRET not in shown
            assert "***@" in shown


@given(st.text(), st.text(st.characters(exclude_characters="@"), max_size=20))
def test_no_user_information_outlives_masking(user: str, place: str) -> None:
    secret = f"{SECRET}{user}{SECRET}"
    assert SECRET not in masked_proxy(f"http://{secret}@{place}")
    assert SECRET not in masked_proxy(f"me:{secret}@{place}")


@given(st.text())
def test_any_text_is_a_proxy_or_is_refused(text: str) -> None:
    for fault in (proxy_fault(text), proxy_url_fault(text)):
        assert fault.isprintable() or not fault


def test_a_readable_part_of_a_proxy_stays_readable() -> None:
    assert read(proxy="http://me:pw@proxy.example:3128").to_mapping()["proxy"] == (
        "http://***@proxy.example:3128"
    )
    (message,) = faults(proxy="me:pw@proxy.example:3128").values()
    assert message == (
        "`***@proxy.example:3128` has no scheme; write it as http://proxy.example:3128"
    )
