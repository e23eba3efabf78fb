"""Make the website agree with GitHub, where the same pages are read as files.

Anchors are those of GitHub, and a link to a file beside the pages, such as ARCHITECTURE.md, becomes
the path of that file: the website has only what is in docs/.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

__all__ = ["on_config", "on_page_content", "on_page_markdown", "slug", "without_outside_links"]

_CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)

_OUTSIDE = re.compile(r"\[(?P<text>[^\[\]]+)\]\((?P<target>(?:\.\./)[^)\s]*)\)")


def slug(heading: str, separator: str = "-") -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def without_outside_links(markdown: str, page: str) -> str:
    """Replace links that leave docs/ by their text and the path in the repository.

    Args:
        markdown: The page.
        page: Its path below docs/.
    """

    def replaced(link: re.Match[str]) -> str:
        path = posixpath.normpath(
            posixpath.join("docs", posixpath.dirname(page), link["target"].partition("#")[0])
        )
        if path.startswith("docs/"):
            return link[0]
        text = link["text"].strip("`").rstrip("/")
        return f"`{path}`" if text in path else f"{link['text']} (`{path}`)"

    parts = _CODE.split(markdown)
    parts[::2] = [_OUTSIDE.sub(replaced, part) for part in parts[::2]]
    return "".join(parts)


def on_config(config: Any) -> Any:
    """Give headings the anchors that they have on GitHub."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    return config


def on_page_markdown(markdown: str, *, page: Any, **_others: object) -> str:
    """Replace the links that leave docs/."""
    return without_outside_links(markdown, page.file.src_uri)


def on_page_content(html: str, **_others: object) -> str:
    r"""Show `\|` within a table as a bar, which only GitHub does within code."""
    return re.sub(r"<td\b.*?</td>", lambda cell: cell[0].replace(r"\|", "|"), html, flags=re.DOTALL)
