"""Small tables for notebooks, in which every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from crypto_lakehouse.core.visible import visible

__all__ = ["html_table"]


def html_table(caption: str, rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Make a table; whole numbers get commas.

    Args:
        caption: The line above it.
        rows: The values; without `head`, the first of each names the others.
        head: The names of the columns.

    Examples:
        >>> html_table("a < b", [("rows", 1200)])
        '<table><caption>a &lt; b</caption><tr><th>rows</th><td>1,200</td></tr></table>'
    """
    lines = [f"<tr>{''.join(f'<th>{_text(name)}</th>' for name in head)}</tr>"] if head else []
    for row in rows:
        cells = [f"<td>{_text(value)}</td>" for value in row]
        if not head:
            cells[0] = f"<th>{_text(row[0])}</th>"
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><caption>{_text(caption)}</caption>{''.join(lines)}</table>"


def _text(value: object) -> str:
    return escape(visible(f"{value:,}" if isinstance(value, int) else str(value)))
