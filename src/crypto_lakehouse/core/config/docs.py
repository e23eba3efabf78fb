"""Tables of configuration keys in docs/configuration.md.

`python -m crypto_lakehouse.core.config.docs [FILE]` rewrites it between its two markers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from crypto_lakehouse.core.config.keys import KeyDescription, described
from crypto_lakehouse.core.config.layers import Keys
from crypto_lakehouse.core.config.workflow_keys import config_keys

__all__ = ["BEGIN", "END", "keys_table", "main", "with_table"]

BEGIN = "<!-- keys: written by `python -m crypto_lakehouse.core.config.docs` -->"
END = "<!-- end of keys -->"


def keys_table(keys: Keys) -> str:
    """Return the table in Markdown, one line for each key."""
    lines = ["| key | type | default | since | meaning |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_line(described(each)) for each in keys.values())])


def _line(key: KeyDescription) -> str:
    names = ", ".join(f"`{option}`" for option in key.about.options)
    name = f"`{key.name}` [{names}]" if names else f"`{key.name}`"
    cells = (name, key.form, key.default, key.about.since, key.text)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def with_table(page: str, keys: Keys | None = None, begin: str = BEGIN) -> str:
    """Return a page with the current table between its markers.

    Args:
        page: The page.
        keys: The keys of another configuration than a collection's.
        begin: The marker before the table.

    Raises:
        ValueError: The page lacks a marker.
    """
    before, found, rest = page.partition(begin)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise ValueError(f"the page must contain the two lines `{begin}` and `{END}`; add them")
    return f"{before}{begin}\n{keys_table(keys or config_keys())}\n{END}{after}"


def main(
    arguments: list[str],
    with_table: Callable[[str], str] = with_table,
) -> None:
    """Rewrite the table of a page; docs/configuration.md of the working directory by default."""
    path = Path(arguments[0] if arguments else "docs/configuration.md")
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
