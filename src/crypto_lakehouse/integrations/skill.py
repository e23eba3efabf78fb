"""The page from which an agent learns to use the commands; it is shipped with the package."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["skill_page"]


def skill_page() -> str:
    """Return the text of the page, in Markdown with a header that names and describes it.

    Examples:
        >>> skill_page().splitlines()[1]
        'name: crypto-lakehouse'
    """
    return (files(__package__) / "SKILL.md").read_text(encoding="utf-8")
