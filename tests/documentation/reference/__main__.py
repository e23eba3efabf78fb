"""Write all of them: `python -m tests.documentation.reference`."""

from __future__ import annotations

from tests.documentation.collector import ROOT
from tests.documentation.reference.pages import PAGES

for name, written in PAGES.items():
    (ROOT / "docs" / name).write_text(written(), encoding="utf-8")
