"""`crypto-lakehouse mcp`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import click
from attrs import define, field

from crypto_lakehouse.cli.options import option_overrides
from crypto_lakehouse.cli.output_option import known_output, known_output_options
from crypto_lakehouse.cli.signals import run_until_signal
from crypto_lakehouse.core.task_groups import first_leaf

__all__ = ["command"]


@click.command("mcp", short_help="Serve an output to agents, read-only (Model Context Protocol).")
@known_output_options
@click.option("--environment", metavar="NAME",
              help="The profile of the file to use. [default: development]")  # fmt: skip
@click.option("--lake", metavar="DIR|URL", help="The tables. [default: DIR/.lakehouse/lake]")
@click.option("--catalog", metavar="NAME|URL",
              help="A catalog of pyiceberg's configuration instead of the embedded one, or a "
                   "PostgreSQL database, as postgresql://host/database.")  # fmt: skip
@click.option("--most-rows", type=click.IntRange(1, 10_000), default=1000, show_default=True,
              metavar="N",
              help="How many rows, holes or series an answer has at most.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 3600), default=30.0,
              show_default=True, metavar="SECONDS", help="How long a call may take.")  # fmt: skip
def command(*, most_rows: int, timeout_s: float, **given: Any) -> int:
    """Serve an output to agents over standard input and output; the extra `mcp`.

    The tools only read: status, holes, plan, query and validate answer what the commands of these
    names do, and holes is a part of status. A query is one SELECT that reads the tables; it cannot
    read a file, write, or load an extension. An answer has at most 64 KiB. A call chooses series,
    days and SQL; where the output is, it cannot change. --config says what `plan` collects beside
    that.

    A client starts the command itself, and ends it by closing standard input.

    \b
    Examples:
      crypto-lakehouse mcp -o data
      crypto-lakehouse mcp --config collection.yaml --most-rows 200 --timeout 10
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.core.workflow import refuse_faulty
    from crypto_lakehouse.integrations.mcp.served import Served
    from crypto_lakehouse.integrations.mcp.server import need_mcp
    from crypto_lakehouse.integrations.mcp.standard_streams import serve

    need_mcp()
    overrides = option_overrides(given)
    places = {name: given[name] for name in ("lake", "catalog") if given[name] is not None}
    served = Served(
        file=given["config_file"],
        overrides={**overrides, **places},
        most_rows=most_rows,
        timeout_s=timeout_s,
    )

    async def check_and_serve() -> int:
        if places:  # all faults at once, those of the output as well
            await served.of_lake({})
        # The directory need not exist: a client may plan its first collection.
        known = await known_output(given["config_file"], dict(overrides), given["lake"])
        refuse_faulty(known)
        serving = _Serving(partial(serve, served))
        await run_until_signal(serving, "stopping")
        return serving.stop_code

    try:
        return anyio.run(check_and_serve)
    except ExceptionGroup as errors:
        broken = first_leaf(errors)
        if isinstance(broken, BrokenPipeError):  # the client no longer reads
            raise broken from errors
        raise


@define
class _Serving:
    """A server that a signal can stop; the process of a query that runs is killed.

    Attributes:
        stop_code: The exit code: that of the signal, or 0.
    """

    _serve: Callable[[], Awaitable[None]]
    stop_code: int = field(default=0, init=False)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)

    async def run(self) -> None:
        """Serve until the client closes the input, or `stop` is called."""
        with self._scope:
            await self._serve()

    def stop(self, exit_code: int) -> None:
        """Stop it."""
        self.stop_code = exit_code
        self._scope.cancel()
