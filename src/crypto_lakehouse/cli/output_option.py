"""`--output` of the commands that read what `collect` wrote."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import click

from crypto_lakehouse.cli.completion import completer_of
from crypto_lakehouse.cli.file_names import named_file
from crypto_lakehouse.cli.options import by_option
from crypto_lakehouse.cli.unused_options import refuse_unused_keys

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig

__all__ = [
    "MIRROR",
    "check_directory",
    "checked_config",
    "known_output",
    "known_output_options",
    "output_option",
    "output_options",
    "stored_options",
    "valid_config",
]

_COLLECTED = "The directory that `collect` wrote to"

#: The help of commands that need no ledger.
MIRROR = f"{_COLLECTED}, or any mirror of the archive."

_OF_STORE = (
    click.option(
        "--storage",
        metavar="JSON",
        help="Settings of the object store that a URL names, as of `collect`; "
        "or CRYPTO_LAKEHOUSE_STORAGE.",
    ),
    click.option(
        "--state-directory",
        metavar="DIR",
        help="The local directory for the ledger of a URL, as of `collect`; "
        "or CRYPTO_LAKEHOUSE_STATE_DIRECTORY.",
    ),
)

_OF_OUTPUT = (
    *_OF_STORE,
    click.option(
        "--ledger",
        metavar="URL",
        help="The PostgreSQL database of the ledger, as of `collect`; or CRYPTO_LAKEHOUSE_LEDGER.",
    ),
    click.option(
        "--ledger-schema",
        metavar="NAME",
        help="The schema in it, as of `collect`; or CRYPTO_LAKEHOUSE_LEDGER_SCHEMA.",
    ),
)


def check_directory(path: str) -> None:
    """Check the directory that `--output` names.

    Raises:
        ConfigurationError: It does not exist, or is not a directory.
    """
    from crypto_lakehouse.core.errors import ConfigurationError, Problem
    from crypto_lakehouse.stores.state import directory_fault

    if fault := directory_fault(path):
        raise ConfigurationError([Problem("--output", fault)])


def checked_config(output: str, **values: Any) -> WorkflowConfig:
    """Make the configuration of a command that reads an output, and check that it can.

    Args:
        output: A directory, or the URL of a prefix in an object store.
        values: The other keys, as options give them; None for those that are not given.

    Raises:
        ConfigurationError: The directory does not exist or cannot be read, or the URL or a setting
            of its store is wrong.
    """
    from crypto_lakehouse.core.errors import ConfigurationError, Problem
    from crypto_lakehouse.stores.output import output_of

    config = valid_config(output, **values)
    if problem := output_of(config).problem():
        is_state = problem.path == "$.state_directory"
        option = "--state-directory" if is_state else "--output"
        raise ConfigurationError([Problem(option, problem.message)])
    return config


def valid_config(output: str | None, **values: Any) -> WorkflowConfig:
    """Make the configuration of a command that reads what is known of an output; see above.

    Raises:
        ConfigurationError: The path, the URL or a setting of its store is wrong, or missing.
    """
    from crypto_lakehouse.core.errors import ConfigurationError
    from crypto_lakehouse.workflows.wiring.stored_output import stored_config

    config = stored_config(output, **values)
    if config.problems:
        raise ConfigurationError(map(by_option, config.problems))
    refuse_unused_keys(config)
    return config


def output_option(
    name: str = "output",
    text: str = f"{_COLLECTED}.",
    metavar: str = "DIR",
    *,
    required: bool = True,
) -> Callable[[Any], Any]:
    """Make the option.

    Args:
        name: The parameter that takes the directory.
        text: Its help.
        metavar: What it takes.
        required: Whether it must be given; a configuration file may say it instead.
    """
    names = ("--output", "-o", "--output-directory", name)
    return click.option(
        *names, required=required, metavar=metavar, help=text,
        shell_complete=completer_of(str, metavar),
    )  # fmt: skip


def stored_options(name: str = "output", text: str = f"{_COLLECTED}.") -> Callable[[Any], Any]:
    """As `output_options`, for commands that read no ledger."""
    options = (output_option(name, _described(text), "DIR|URL"), *_OF_STORE)
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def _described(text: str) -> str:
    return text.replace("The directory", "The directory, or the prefix in an object store,")


def output_options(
    name: str = "output", text: str = f"{_COLLECTED}.", *, required: bool = True
) -> Callable[[Any], Any]:
    """Make the option for a directory or the URL of an object store, with those of the store.

    Args:
        name: The parameter that takes the output.
        text: Its help.
        required: As for `output_option`.
    """
    options = (output_option(name, _described(text), "DIR|URL", required=required), *_OF_OUTPUT)
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def known_output_options(command: Callable[..., object]) -> Any:
    """Add the options of commands that show what is known of an output; `known_output` reads them.

    The parameters are `output_directory`, `config_file`, `tenant`, and those of the store and the
    ledger.
    """
    text = "The directory that `collect` wrote to; --config may say it."
    file = click.option(
        "--config", "config_file", type=click.Path(), metavar="FILE", callback=named_file,
        help="The configuration of `collect`: where the output is, what is acknowledged, and how "
        "old days may be (`freshness`). Its selection does not count.",
    )  # fmt: skip
    tenant = click.option(
        "--tenant", metavar="NAME", help="The tenant of that file, if it has some."
    )
    return output_options("output_directory", text, required=False)(file(tenant(command)))


async def known_output(
    file: str | None, overrides: dict[str, Any], lake: str | None = None
) -> WorkflowConfig:
    """Return where an output is; options come before the file.

    Args:
        file: What `--config` says.
        overrides: The other options, as keys.
        lake: Where the tables are, if the command uses some.

    Raises:
        ConfigurationError: The file cannot be read, or a URL or a setting of its store is wrong;
            what is wrong with a directory is among the `problems`.
        UsageError: No output is named, or an option has no effect.
    """
    from crypto_lakehouse.core.config.storage import is_url
    from crypto_lakehouse.workflows.wiring.load_config import load_config_of_all
    from crypto_lakehouse.workflows.wiring.stored_output import stored_config

    if file is not None:
        config = await load_config_of_all(file, overrides)
    else:
        place = overrides.pop("output_directory", None)
        # The faults of a directory and of the selection are raised together, by the function.
        is_checked = place is None or is_url(place)
        config = (valid_config if is_checked else stored_config)(place, **overrides)
    refuse_unused_keys(config, lake)
    return config
