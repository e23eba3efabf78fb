"""The pages of all errors and of the exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.documentation.reference.docstrings import attributes_of, text_of

from crypto_lakehouse import core
from crypto_lakehouse.cli.main import cli
from crypto_lakehouse.core import LakehouseError, errors

__all__ = ["errors_page", "exit_codes_page"]

_ERRORS = """# Errors

Every error that the package raises, with the [exit code](exit-codes.md) with which a command ends.

Each is a `LakehouseError`, and says what is wrong, with what value, and what to do. Import them
from `crypto_lakehouse.core`; those that it does not export are caught as what they derive from.
Messages never have passwords or tokens.
"""

_CODES = """# Exit codes

How every command ends, and what to do next.

| code | meaning | what to do | errors that end with it |
|---|---|---|---|
"""

_CODES_END = """
An error may end with another code than that of its class: the same database can be refused (2) or
out of reach (5). [Errors](errors.md) says when. `upstream_mismatch`, `sidecar_missing` and
`not_published` do not fail a run, except with `--strict`. With `--json` the object on standard
output has the code as `exit_code`, beside `error`, if a command fails as a whole.
"""

#: The modules of the taxonomy; to name them imports them.
_MODULES = (errors.__name__, core.CollectionFailed.__module__)

#: What to do after each code that the help names.
_ADVICE = {
    "0": "nothing",
    "1": "report it: it is a bug, or a fault of this machine that the message names",
    "2": "correct what the message names; it names every fault at once",
    "3": "run it again; `status` says what is missing and why",
    "4": "look at the quarantine: `verify` names the archives",
    "5": "try again later; a scheduler should do so by itself",
    "6": "run it again to go on",
    "7": "find out why collections do not run, or why the source is late",
    "11": "wait for the other run, or use `--wait`",
    "130 / 143": "run it again to go on",
    "141": "nothing",
}


def errors_page() -> str:
    """Return the page of all errors, bases before those that derive from them."""
    return "\n".join([_ERRORS, *map(_section, _tree(LakehouseError))])


def exit_codes_page() -> str:
    """Return the page of the exit codes that `--help` names.

    Raises:
        KeyError: It names one for which there is no advice.
    """
    _, _, listed = (cli.epilog or "").partition("Exit codes:\n")
    found = re.findall(r"(?:^  |    )(\d+(?: / \d+)?) (.+?)(?=    |$)", listed.partition("\n\n")[0],
                       re.MULTILINE)  # fmt: skip
    lines = [f"| {code} | {meaning} | {_ADVICE[code]} | {_ending_with(code)} |"
             for code, meaning in found]  # fmt: skip
    assert [code for code, _ in found] == [*_ADVICE]
    return _CODES + "\n".join(lines) + "\n" + _CODES_END


def _tree(base: type[LakehouseError]) -> Iterator[type[LakehouseError]]:
    """The errors of the taxonomy below one, itself first."""
    yield base
    for each in sorted(base.__subclasses__(), key=lambda kind: kind.__name__):
        if each.__module__.startswith(_MODULES):
            yield from _tree(each)


def _ending_with(code: str) -> str:
    ends = [each for each in _tree(LakehouseError) if str(each.exit_code) == code]
    return ", ".join(f"[`{each.__name__}`](errors.md#{each.__name__.lower()})" for each in ends
                     if each is not LakehouseError and code != "1")  # fmt: skip


def _section(error: type[LakehouseError]) -> str:
    base = error.__bases__[0].__name__
    kind = "" if error is LakehouseError else f" Derives from `{base}`."
    kind += "" if error.__name__ in core.__all__ else " Not exported."
    rule = ", or as described below" if "exit_code" in (error.__doc__ or "") else ""
    lines = [
        f"## `{error.__name__}`",
        "",
        f"Exit code {error.exit_code}{rule}.{kind}",
        "",
        text_of(error),
        "",
    ]
    described = attributes_of(error)
    lines += [f"- `{name}`: {text}" for name, text in described.items()]
    return "\n".join([*lines, ""] if described else lines)
