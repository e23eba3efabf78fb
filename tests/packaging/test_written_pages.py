"""The written pages are as the code is."""

from __future__ import annotations

import pytest
from tests.documentation.collector import ROOT
from tests.documentation.reference.pages import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert page == PAGES[name](), "run `python -m tests.documentation.reference`"
