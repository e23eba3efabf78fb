"""Options that take a list: separated by commas, or the option given again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from crypto_lakehouse.core.config.sources import parse_text_value
from crypto_lakehouse.core.messages import shown

__all__ = ["ListOption"]

_Callback = Callable[[click.Context, click.Parameter, Any], Any]


class ListOption(click.Option):
    """An option whose values accumulate, as `-s BTCUSDT -s ETHUSDT,BNBUSDT`.

    Its value is one text, as a single use of the option would give it; None if it is not given.
    A mapping in JSON can be given only once, as two of them cannot be joined.
    """

    def __init__(self, *args: Any, callback: _Callback | None = None, **attributes: Any) -> None:
        def joined(ctx: click.Context, option: click.Parameter, texts: Any) -> Any:
            text = _joined(texts or (), ctx, option)
            return text if callback is None else callback(ctx, option, text)

        super().__init__(*args, **{**attributes, "multiple": True, "callback": joined})


def _joined(texts: tuple[str, ...], context: click.Context, option: click.Parameter) -> str | None:
    """Join the texts of all uses.

    Raises:
        BadParameter: One of several is empty, a mapping, or not valid JSON.
    """
    if len(texts) < 2:
        return texts[0] if texts else None
    try:
        return ",".join(part for text in texts for part in _parts(text.strip()))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=context, param=option) from None


def _parts(text: str) -> list[str]:
    if text.startswith("{"):
        raise ValueError(
            f"`{shown(text)}` is a mapping, which can be given only once; write it as one"
        )
    try:
        parts = parse_text_value(text, tuple[str, ...])
    except ValueError as error:
        raise ValueError(f"`{shown(text)}` is {error}") from None
    if not parts:
        raise ValueError(f"`{shown(text)}` is one of several lists and must not be empty")
    if not all(isinstance(part, str) and "," not in part for part in parts):
        raise ValueError(f"`{shown(text)}` must contain texts without commas")
    return list(parts)
