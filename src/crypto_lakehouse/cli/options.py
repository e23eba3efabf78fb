"""Options that are configuration keys, shared by the commands that take a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click
from attrs import evolve

from crypto_lakehouse.cli.completion import completer_of
from crypto_lakehouse.cli.file_names import named_file
from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.core.config.keys import KeyDescription, described
from crypto_lakehouse.core.config.origins import DEFAULT, OVERRIDE
from crypto_lakehouse.core.config.sources import parse_text_value
from crypto_lakehouse.core.config.values import DateRange, Intervals, Partitions, Symbols
from crypto_lakehouse.core.config.workflow_keys import config_keys
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    LakehouseError,
    LockHeldError,
    Problem,
)

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig

__all__ = [
    "by_option",
    "config_options",
    "config_options_without",
    "help_text",
    "named_by_options",
    "option_of",
    "option_overrides",
    "say_proxy",
]

_Command = TypeVar("_Command", bound=Callable[..., object])

#: Keys whose options come last in `--help`, as they are rarely needed.
_LAST = ("matrix_path", "environment", "tenant", "workflow_type")


#: Options of keys that only a lake's configuration has, if they have another name.
_OPTIONS = {"policies": "--policy"}


def config_options(command: _Command) -> _Command:
    """Add `--config` and one option for each configuration key to a command."""
    return config_options_without()(command)


def config_options_without(*names: str) -> Callable[[_Command], _Command]:
    """Return what adds `--config` and the options of all configuration keys but some."""
    return lambda command: _with_options(command, names)


def _with_options(command: _Command, left_out: tuple[str, ...]) -> _Command:
    wanted = (item for item in config_keys().values() if item.name not in left_out)
    keys = sorted(wanted, key=lambda item: item.name in _LAST)
    options = [
        click.option("--config", "config_file", type=click.Path(), metavar="FILE",
                     callback=named_file,
                     help="JSON, TOML or YAML; options take precedence."),
        *(option for item in keys for option in _options(item)),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _dashed(key: str) -> str:
    return key.replace("_", "-")


def option_of(key: str) -> str:
    """Return the name of a key's option that comes first in `--help`.

    Examples:
        >>> option_of("default_date"), option_of("max_retries")
        ('--date', '--max-retries')
    """
    field = config_keys().get(key)
    names = described(field).about.options if field else ()
    long = (name for name in names if name.startswith("--"))
    return _OPTIONS.get(key) or next(long, f"--{_dashed(key)}")


def _options(attribute: attrs.Attribute[Any]) -> Iterator[Callable[[_Command], _Command]]:
    """The options of a key: one, or one for each edge of a range."""
    key = described(attribute)
    name = f"--{_dashed(key.name)}"
    if attribute.metadata["kind"] is DateRange:
        for edge in attrs.fields(DateRange):
            names = (f"--{edge.name}", f"{name}-{edge.name}", edge.name)
            yield click.option(*names, metavar=key.about.metavar, help=edge.metadata["help"])
    elif attribute.metadata["kind"] is bool:
        flags = f"{name}/--no-{_dashed(key.name)}"
        yield click.option(flags, key.name, default=None, help=help_text(key))
    else:
        # `--fill` is a flag of `collect`.
        own = () if key.name == "fill" else (name,)
        spelled = (*key.about.options, *own, key.name)
        takes_list = _takes_list(attribute.metadata["kind"])
        yield click.option(
            *spelled,
            cls=ListOption if takes_list else click.Option,
            metavar=key.about.metavar,
            shell_complete=completer_of(attribute.metadata["kind"], key.about.metavar),
            help=help_text(key),
        )


def _takes_list(kind: Any) -> bool:
    is_tuple = getattr(kind, "__origin__", None) is tuple
    return is_tuple or kind in (Symbols, Intervals, Partitions)


def help_text(key: KeyDescription) -> str:
    """Return the help of a key: its sentence, then what its values look like.

    Examples:
        >>> help_text(described(config_keys()["max_retries"]))
        'How often a failed request is tried again, with growing waits. [0..20; default: 5]'
    """
    default = key.default if key.default.startswith("required") else f"default: {key.default}"
    form = "" if key.form == "true, false" else f"{key.form}; "
    return f"{key.about.help} [{form}{default}]".replace("`", "")


def option_overrides(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration values that options give; keys without an option given are absent.

    Raises:
        ConfigurationError: Options cannot be read; all are listed, by name.
    """
    overrides: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, field in config_keys().items():
        value = given.get(key)
        if value is None:
            continue
        try:
            kind = field.metadata["kind"]
            overrides[key] = parse_text_value(value, kind) if isinstance(value, str) else value
        except ValueError as error:
            problems.append(Problem(option_of(key), str(error)))
    if problems:
        raise ConfigurationError(problems)
    edges = {edge: given[edge] for edge in ("start", "end") if given.get(edge) is not None}
    return {**overrides, "date_range": edges} if edges else overrides


def by_option(problem: Problem) -> Problem:
    """Name the option that a wrong value was given by, or that a missing value can be given by.

    Values of files, mappings and variables keep their own names, and so does what is named by its
    option already.

    Examples:
        >>> str(by_option(Problem("$.max_retries", "must be at most 20", origin="override")))
        '--max-retries: must be at most 20'
    """
    if problem.origin not in {OVERRIDE, DEFAULT}:
        return problem
    key, dot, edge = problem.path.removeprefix("$.").partition(".")
    if key == "date_range" and problem.origin == DEFAULT:
        option = "--start or --date"
    elif key == "date_range":
        option = f"--{edge}" if edge else "--start and --end"
    else:
        option = f"{option_of(key)}{dot}{edge}"
    return evolve(problem, path=option, origin="")


def named_by_options(error: LakehouseError) -> LakehouseError:
    """Return an error with the options that wrong values were given by, or that help."""
    if type(error) is LockHeldError:
        how = ", as `--wait` does"
        return LockHeldError(
            error.path, error.holder, error.remark, how_to_wait=how, instead=error.instead
        )
    if not isinstance(error, ConfigurationError):
        return error
    return type(error)(map(by_option, error.problems))


def say_proxy(config: WorkflowConfig) -> None:
    """Print to standard error which proxy requests go through, if there is one.

    Raises:
        ConfigurationError: A proxy or a file of certificates cannot be used.
        ExtraMissing: A SOCKS proxy is used, and the extra `socks` is not installed.
    """
    from crypto_lakehouse.workflows.wiring.network import Network

    if note := Network.of(config).note:
        click.echo(f"note: {note}", err=True)
