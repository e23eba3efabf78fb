"""Read a configuration key whose value is a mapping of settings, as `fill` and `record` are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.messages import nearest, shown

__all__ = ["LIVE_MARKETS", "market_urls", "nested_settings", "unknown_name"]

#: The markets whose exchange answers without a key: they can be filled and recorded. The addresses
#: for fills are in `rest.endpoints`.
LIVE_MARKETS = (Market.SPOT, Market.FUTURES_UM, Market.FUTURES_CM)


def nested_settings(
    value: object, readers: Mapping[str, Callable[[object], object]], example: str
) -> dict[str, Any]:
    """Return settings in plain JSON types.

    Args:
        value: What the configuration has.
        readers: What reads the value of each setting.
        example: A mapping that is right, in YAML.

    Raises:
        TypeError: It is no mapping, or a value has another type.
        ValueError: A setting is unknown, or a value is not one of its setting.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a mapping, such as {example}, not `{shown(value)}`")
    settings = {}
    for name, item in value.items():
        if name not in readers:
            raise ValueError(unknown_name("key", name, readers))
        settings[str(name)] = readers[name](item)
    return settings


def market_urls(value: object) -> dict[str, str]:
    """Return the addresses of markets, as they are given.

    Raises:
        TypeError: It is no mapping, or an address is no text.
        ValueError: A market is unknown, or has no exchange that answers.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"`urls` must be a mapping of markets to URLs, not `{shown(value)}`")
    urls = {}
    for market, url in value.items():
        if market not in LIVE_MARKETS:
            raise ValueError(f"`urls`: {unknown_name('market', market, LIVE_MARKETS)}")
        if not isinstance(url, str) or not url.strip():
            raise TypeError(f"`urls.{Market(market)}` must be a URL")  # it may have a password
        urls[str(market)] = url
    return urls


def unknown_name(noun: str, given: object, names: Iterable[object]) -> str:
    """Return the error text of a name that there is not, with the nearest one or all."""
    known = tuple(map(str, names))
    near = nearest(given, known)
    hint = f"did you mean `{near}`?" if near else f"known: {', '.join(known)}"
    return f"unknown {noun} `{shown(given)}`; {hint}"
