"""The whole page, as bytes: of a file, or as it is served while a run goes on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
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
    origins,
    runs,
    section,
    tiles,
    verdicts,
)
from crypto_lakehouse.version import __version__

__all__ = ["page", "policy"]

#: What a page that is served is called: it shows no path.
LIVE = "Live status"


def page(figures: PageFigures, progress: Progress | None = None) -> bytes:
    """Return the page in UTF-8; takes milliseconds for each thousand series.

    Args:
        figures: What it shows.
        progress: What the run that serves it has done so far; None for a page of a file, which has
            no script.
    """
    is_live = progress is not None
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(is_live=is_live)),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("meta", name_="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{figures.place or LIVE} – crypto-lakehouse"),
        element("style", _resource("page.css")),
    )
    body = element(
        "body",
        element("main", joined(_parts(figures, progress))),
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


def _parts(figures: PageFigures, progress: Progress | None) -> Iterator[Markup]:
    at = f"{figures.at:%Y-%m-%d %H:%M} UTC"
    yield element(
        "header",
        element("p", "crypto-lakehouse", class_="brand"),
        element("h1", figures.place or LIVE),
        element(
            "p", "As of ", element("time", at), f"; complete is {figures.of}.", class_="remark"
        ),
    )
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
    yield element("footer", f"crypto-lakehouse {__version__}", class_="remark")


def _more(figures: PageFigures) -> Iterator[Markup]:
    if figures.origins is not None:
        yield origins(figures.origins)
    if figures.findings is not None:
        yield findings(figures.findings)
