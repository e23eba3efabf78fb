"""A group of commands that names the nearest one to a mistyped name."""

from __future__ import annotations

import click

from crypto_lakehouse.core.messages import did_you_mean, shown

__all__ = ["CommandGroup"]


class CommandGroup(click.Group):
    """A group whose error about an unknown command names the one probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command to run, as click does; a shell that completes a line gets no error.

        Raises:
            UsageError: There is no such command.
        """
        name = args[0]
        is_typed = not ctx.resilient_parsing and not name.startswith("-")
        if is_typed and self.get_command(ctx, name) is None:
            hint = did_you_mean(name, self.list_commands(ctx))
            ctx.fail(f"no such command: `{shown(name)}`{hint}")
        return super().resolve_command(ctx, args)
