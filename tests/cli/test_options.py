"""The options of a command say what the configuration's keys say."""

from __future__ import annotations

import click
import pytest
from tests.cli.conftest import Shell

from crypto_lakehouse.cli import collect
from crypto_lakehouse.cli.options import help_text
from crypto_lakehouse.core.config.days import DAY_FORMS
from crypto_lakehouse.core.config.keys import described
from crypto_lakehouse.core.config.workflow_config import config_keys


def test_the_help_of_each_option_is_that_of_its_key() -> None:
    options = {item.name: item for item in collect.command.params if isinstance(item, click.Option)}
    for name, attribute in config_keys().items():
        key = described(attribute)
        if name == "date_range":
            assert options["start"].help == f"First UTC day: {DAY_FORMS}."
            assert options["end"].help == (
                "Last UTC day, inclusive. [default: the newest that is published]"
            )
            continue
        assert options[name].help == help_text(key)
        # `--fill` is a flag of `collect`.
        others = {f"--{name.replace('_', '-')}"} - {"--fill"}
        assert {*key.about.options, *others} <= set(options[name].opts)
        assert options[name].metavar == (key.about.metavar or None)


def test_flags_say_only_their_default() -> None:
    assert help_text(described(config_keys()["download_checksum"])) == (
        "Keep the .CHECKSUM beside each zip. [default: true]"
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["colect"], "no such command: `colect`; did you mean `collect`?"),
        (["config", "shw"], "no such command: `shw`; did you mean `show`?"),
        (["lake", "compat"], "no such command: `compat`; did you mean `compact`?"),
        (
            ["matrix", "difff", "a.json", "b.json"],
            "neither a command nor a file; did you mean `diff`?",
        ),
        (["matrix", "refrsh", "--to", "a.json"], "did you mean `refresh`?"),
        (["matrix", "shwo", "--check"], "did you mean `show`?"),
        (["matrix", "refesh"], "neither a command nor a file; did you mean `refresh`?"),
        (["xyz"], "no such command: `xyz`\n"),
    ],
)
def test_a_mistyped_command_is_told_the_nearest(shell: Shell, words: list[str], hint: str) -> None:
    code, out, err = shell(*words)
    assert (code, out) == (2, "")
    assert hint in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("collect --max-retris 3", "; did you mean `--max-retries`?"),
        ("plan --symbol X", "; did you mean `--symbols`?"),
        ("lake verify --tabels x", "; did you mean `--tables`?"),
        ("config show --jsn", "; did you mean `--json`?"),
        ("--versio", "; did you mean `--version`?"),
        ("status --qqqqqq", ""),
        ("status -z", ""),
    ],
)
def test_an_unknown_option_names_the_nearest_one_alone(
    shell: Shell, arguments: str, hint: str
) -> None:
    wrong = next(word for word in arguments.split() if word.startswith("-"))
    code, out, err = shell(*arguments.split())
    assert (code, out) == (2, "")
    assert err.endswith(f"Error: no such option: `{wrong}`{hint}\n")
