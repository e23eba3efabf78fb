"""Run the tests on every supported Python: `nox`, or `nox -s tests-3.12 -- tests/core`.

Each session installs the pinned and hashed requirements, as `make test` does. A Python that is not
installed is skipped with a warning and listed in the summary.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.4.15"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests, or those that are named after `--`."""
    session.install("--require-hashes", "--requirement", "requirements/runtime.txt")
    session.install("--require-hashes", "--requirement", "requirements/develop.txt")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    session.run("pytest", "--numprocesses=auto", "--dist=loadfile", *session.posargs)
