"""Elements of HTML. Every text that is put into one is escaped, unless it is `Markup` already."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from crypto_lakehouse.core.visible import visible

__all__ = ["Content", "Markup", "element", "joined"]


class Markup(str):
    """Text that is HTML: elements, or text that is escaped."""

    __slots__ = ()


#: What an element may have in it: text, numbers, other elements; None is left out.
Content = str | int | None

#: Elements without content and without an end.
_EMPTY = frozenset({"link", "meta"})


def joined(contents: Iterable[Content]) -> Markup:
    r"""Join contents; invisible characters of texts are shown as escapes.

    Examples:
        >>> joined(["<b>\u202e", Markup("<i></i>"), None, 1200])
        '&lt;b&gt;\\u202e<i></i>1,200'
    """
    return Markup("".join(_html(each) for each in contents if each is not None))


def element(name: str, *contents: Content, **attributes: str | bool | None) -> Markup:
    """Make an element.

    Args:
        name: Its name.
        contents: What is in it, in order.
        attributes: Its attributes, without those that are None or False. Underscores stand for
            hyphens, and one at the end of a name is left out, as of `class_`.

    Examples:
        >>> element("td", "a & b", class_="n", data_x='"', hidden=True)
        '<td class="n" data-x="&quot;" hidden>a &amp; b</td>'
    """
    begin = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY:
        return Markup(f"<{name}{begin}>")
    return Markup(f"<{name}{begin}>{joined(contents)}</{name}>")


def _html(content: str | int) -> str:
    if isinstance(content, Markup):
        return content
    return escape(visible(content)) if isinstance(content, str) else f"{content:,}"


def _attribute(key: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(visible(value))}"'
