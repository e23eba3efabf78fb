"""Options that take a list: separated by commas, or the option given again."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["ListOption"]


class ListOption(click.Option):
    """An option whose values accumulate, as `-s BTCUSDT -s ETHUSDT,BNBUSDT`.

    Its value is one text, as a single use of the option would give it; None if it is not given.
    A mapping in JSON can be given only once, as two of them cannot be joined.
    """

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **{**attributes, "multiple": True})

    def process_value(self, ctx: click.Context, value: Any) -> str | None:
        """Join the texts of all uses.

        Raises:
            BadParameter: One of several is a mapping, or not valid JSON.
        """
        texts: tuple[str, ...] = super().process_value(ctx, value) or ()
        if len(texts) < 2:
            return texts[0] if texts else None
        return ",".join(part for text in texts for part in self._parts(text, ctx))

    def _parts(self, text: str, ctx: click.Context) -> list[str]:
        plain = text.strip()
        if plain.startswith("{"):
            reason = f"`{plain}` is a mapping, which can be given only once; write it as one"
            raise click.BadParameter(reason, ctx=ctx, param=self)
        if not plain.startswith("["):
            return [plain]
        try:
            return [str(part) for part in json.loads(plain)]
        except ValueError as error:
            reason = f"`{plain}` is not valid JSON: {error}"
            raise click.BadParameter(reason, ctx=ctx, param=self) from None
