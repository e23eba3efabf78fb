"""What `NO_PROXY` covers, as curl and requests read it, and with networks as well."""

from __future__ import annotations

import doctest
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from crypto_lakehouse.http import no_proxy
from crypto_lakehouse.http.no_proxy import NoProxy


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("*", "https://mirror.example"),
        ("a.example,*", "https://mirror.example"),
        ("mirror.example", "https://mirror.example"),
        ("MIRROR.Example", "https://mirror.example"),
        ("mirror.example", "https://MIRROR.example"),
        ("mirror.example.", "https://mirror.example"),
        ("mirror.example", "https://mirror.example./x"),
        ("mirror.example", "https://a.mirror.example"),
        (".mirror.example", "https://a.b.mirror.example"),
        (".mirror.example", "https://mirror.example"),
        ("*.mirror.example", "https://a.mirror.example"),
        ("example", "https://mirror.example"),
        (" a.example ,\tmirror.example ", "https://mirror.example"),
        ("a.example mirror.example", "https://mirror.example"),
        ("mirror.example:443", "https://mirror.example"),
        ("mirror.example:8080", "http://a.mirror.example:8080"),
        ("bücher.example", "https://bücher.example"),
        ("xn--bcher-kva.example", "https://bücher.example"),
        ("10.0.0.1", "http://10.0.0.1:8080"),
        ("10.0.0.1:8080", "http://10.0.0.1:8080"),
        ("10.0.0.0/8", "http://10.255.0.1"),
        ("10.1.2.3/8", "http://10.255.0.1"),
        ("10.0.0.0/255.0.0.0", "http://10.255.0.1"),
        ("::1", "http://[::1]:80"),
        ("[::1]", "http://[::1]:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("2001:DB8::1", "http://[2001:db8:0:0::1]"),
        ("2001:db8::/32", "http://[2001:db8:5::1]"),
        ("[2001:db8::]/32,[2001:db8::/32]", "http://[2001:db8:5::1]"),
        ("0.0.0.0/0,::/0", "http://[2001:db8:5::1]"),
    ],
)
def test_what_is_named_is_covered(text: str, url: str) -> None:
    assert NoProxy.of(text).covers(URL(url))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "https://mirror.example"),
        (" , ,", "https://mirror.example"),
        (".", "https://mirror.example"),
        ("*.", "https://mirror.example"),
        ("mirror.example", "https://othermirror.example"),
        ("a.mirror.example", "https://mirror.example"),
        ("mirror.example:80", "https://mirror.example"),
        ("mirror.example:port", "https://mirror.example"),
        ("mirror.example:٤٤٣", "https://mirror.example"),
        ("http://mirror.example", "https://mirror.example"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("10.0.0.0/8", "http://10.example"),
        ("10.0.0.0/99", "http://10.0.0.1"),
        ("0.0.1", "http://10.0.0.1"),
        ("10.0.0.1:81", "http://10.0.0.1"),
        ("::/0", "http://10.0.0.1"),
        ("[::1]:81", "http://[::1]:80"),
        ("::1:80", "http://[::1]:80"),
        ("mir*.example", "https://mirror.example"),
    ],
)
def test_what_is_not_named_is_not_covered(text: str, url: str) -> None:
    assert not NoProxy.of(text).covers(URL(url))


labels = st.text("ab1", min_size=1, max_size=2).filter(lambda label: not label.isdigit())
names = st.lists(labels, min_size=1, max_size=3).map(".".join)


@given(names, st.lists(names | names.map(".{}".format), max_size=3).map(",".join))
def test_names_are_read_as_the_standard_library_reads_them(host: str, text: str) -> None:
    covered = NoProxy.of(text).covers(URL(f"https://{host}"))
    assert covered == bool(proxy_bypass_environment(host, {"no": text}))


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    NoProxy.of(text).covers(URL("https://mirror.example"))


def test_the_example_is_true() -> None:
    assert doctest.testmod(no_proxy) == (0, 3)
