"""Every page below docs/ that is written from the code, by its path, and what writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.documentation.reference.command_line import command_line_page
from tests.documentation.reference.error_classes import errors_page, exit_codes_page
from tests.documentation.reference.events import events_page
from tests.documentation.reference.first_page import first_page
from tests.documentation.reference.man_page import man_page
from tests.documentation.reference.python_names import python_page
from tests.documentation.reference.requirements import requirements_page

__all__ = ["PAGES"]

PAGES: Mapping[str, Callable[[], str]] = {
    "index.md": first_page,
    "reference/command-line.md": command_line_page,
    "reference/crypto-lakehouse.1": man_page,
    "reference/errors.md": errors_page,
    "reference/events.md": events_page,
    "reference/exit-codes.md": exit_codes_page,
    "reference/python.md": python_page,
    "requirements.md": requirements_page,
}
