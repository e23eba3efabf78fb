"""`crypto-lakehouse skill`."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("skill", short_help="Print the page from which an agent learns this program.")
def command() -> int:
    """Print the page from which an agent learns this program, in Markdown.

    It is a skill: a file SKILL.md in a folder of its name, as agents read them.

    \b
    Examples:
      crypto-lakehouse skill > SKILL.md
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.integrations.skill import skill_page

    click.echo(skill_page(), nl=False)
    return 0
