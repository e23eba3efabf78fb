"""The whole page, as bytes: of a file, or as it is served while a run goes on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

from crypto_lakehouse.pages.coverage_calendar import coverage_calendar
from crypto_lakehouse.pages.figures import PageFigures, Progress
from crypto_lakehouse.pages.markup import Markup, element, joined
from crypto_lakehouse.pages.progress import progress_section
from crypto_lakehouse.pages.sections import (
    findings,
    freshness,
    holes,
    list_of_pages,
    origins,
    runs,
    section,
    tiles,
    verdicts,
)
from crypto_lakehouse.version import __version__

__all__ = ["front_page", "page", "policy"]

#: What a page that is served is called: it shows no path.
LIVE = "Live status"


def page(figures: PageFigures, progress: Progress | None = None, back: str = "") -> bytes:
    """Return the page in UTF-8; takes milliseconds for each thousand series.

    Args:
        figures: What it shows.
        progress: What the run that serves it has done so far; None for a page of a file, which has
            no script.
        back: The text of the link to the page that lists this one; empty without such a page.
    """
    parts = _parts(figures, progress, back)
    return _document(figures.place or LIVE, parts, is_live=progress is not None)


def front_page(kind: str, pages: Iterable[tuple[str, str, Progress]]) -> bytes:
    """Return the page that lists others, in UTF-8; it has no script.

    Args:
        kind: What each page is of, as `tenants`.
        pages: The name of each, its address, relative to this one, and what its run has done.
    """
    heading = kind.capitalize()
    parts = [_header(heading), list_of_pages(pages), _footer()]
    return _document(heading, parts, is_live=False)


def _document(title: str, parts: Iterable[Markup], *, is_live: bool) -> bytes:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(is_live=is_live)),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("meta", name_="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{title} – crypto-lakehouse"),
        element("style", _resource("page.css")),
    )
    body = element(
        "body",
        element("main", joined(parts)),
        element("script", _resource("live.js")) if is_live else None,
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n".encode()


def policy(*, is_live: bool) -> str:
    """Return the content security policy: nothing is loaded; a live page asks its own server."""
    allowed = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    if is_live:
        digest = base64.b64encode(hashlib.sha256(_resource("live.js").encode()).digest()).decode()
        allowed += f"script-src 'sha256-{digest}'; connect-src 'self'; "
    return f"{allowed}form-action 'none'"


@cache
def _resource(name: str) -> Markup:
    return Markup(resources.files(__package__).joinpath(name).read_text("utf-8"))


def _header(heading: str, *more: Markup, back: str = "") -> Markup:
    link = joined([" · ", element("a", back, href="../../")]) if back else None
    brand = element("p", "crypto-lakehouse", link, class_="brand")
    return element("header", brand, element("h1", heading), *more)


def _footer() -> Markup:
    return element("footer", f"crypto-lakehouse {__version__}", class_="remark")


def _parts(figures: PageFigures, progress: Progress | None, back: str) -> Iterator[Markup]:
    at = element("time", f"{figures.at:%Y-%m-%d %H:%M} UTC")
    remark = element("p", "As of ", at, f"; complete is {figures.of}.", class_="remark")
    yield _header(figures.place or LIVE, remark, back=back)
    if progress is not None:
        yield progress_section(progress)
    for texts, class_ in ((figures.stale, "notes stale"), (figures.notes, "notes")):
        if texts:
            yield element("ul", *(element("li", text) for text in texts), class_=class_)
    if figures.total is not None:
        yield tiles(figures, figures.total)
    if figures.total is None:
        yield section("Coverage", element("p", "There is no ledger yet.", class_="nothing"))
        yield element("div", *_more(figures), class_="columns")
    else:
        yield coverage_calendar(figures)
        left = joined([freshness(figures.groups), *_more(figures)])
        right = joined([holes(figures.total), verdicts(figures.total), runs(figures.runs)])
        yield element("div", element("div", left), element("div", right), class_="columns")
    yield _footer()


def _more(figures: PageFigures) -> Iterator[Markup]:
    if figures.origins is not None:
        yield origins(figures.origins)
    if figures.findings is not None:
        yield findings(figures.findings)
