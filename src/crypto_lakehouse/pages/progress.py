"""What a run has done so far, as the page that it serves shows it; `live.js` keeps it current."""

from __future__ import annotations

from crypto_lakehouse.pages.figures import Progress
from crypto_lakehouse.pages.markup import Markup, element

__all__ = ["SHOWN", "progress_section"]

#: The figures that are shown, by their names in `Progress`, and how `live.js` writes them.
SHOWN = (
    ("done", "settled", "count"),
    ("planned", "planned", "count"),
    ("rate", "a second", "rate"),
    ("received_bytes", "received", "bytes"),
    ("parallel", "requests at once", "count"),
    ("retries", "retries", "count"),
    ("problems", "problems", "count"),
    ("rows", "rows into tables", "count"),
    ("messages", "messages recorded", "count"),
    ("seconds", "since the beginning", "duration"),
)


def progress_section(progress: Progress) -> Markup:
    """Make the section; figures that a run does not have are hidden."""
    figures = (
        element(
            "div",
            element("dt", label),
            element("dd", "–", data_live=name, data_form=form),
            hidden=progress.get(name) is None,
        )
        for name, label, form in SHOWN
    )
    return element(
        "section",
        element("h2", "Now"),
        element(
            "p",
            element("b", str(progress.get("workflow") or "starting").replace("_", " "), id="what"),
            " ",
            element("span", "connecting", id="state", role="status"),
        ),
        element("div", element("i", class_="v", id="bar"), class_="bar", aria_hidden="true"),
        element("dl", *figures, class_="now"),
        class_="live",
    )
