"""The pages of a listener: of one output, or of several with a page that lists them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, Self
from urllib.parse import quote

from attrs import define, field

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.pages.page import front_page
from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.workflows.monitoring.live_page import LivePage, identity_of

__all__ = ["LivePages"]


@define(eq=False)
class LivePages:
    """Pages by name; nothing of one is in another.

    Attributes:
        kind: What each is of: `tenants` or `outputs`, the first part of the path of each.
        by_name: The pages.
        by_output: Those of `of_steps`, by `Output.identity`.
    """

    kind: str
    by_name: Mapping[str, LivePage]
    by_output: Mapping[str, LivePage] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for name, page in self.by_name.items():
            has_others = len(self.by_name) > 1
            page.name = name if has_others else ""
            page.back = f"All {self.kind}" if has_others else ""
            page.forget()

    @classmethod
    def of_steps(cls, configs: Iterable[tuple[str, Any]], before: LivePages | None = None) -> Self:
        """Make a page for each output of several steps, which counts what is done in it alone.

        Args:
            configs: The name and the configuration of each step; an output has those of the first.
            before: The pages before; that of an output that is still there goes on counting.
        """
        known = {} if before is None else before.by_output
        by_name, by_output = dict[str, LivePage](), dict[str, LivePage]()
        # The configuration of a collection says what is acknowledged, that of tables does not.
        for name, config in sorted(configs, key=lambda each: not _collects(each[1])):
            with suppress(LakehouseError):  # the step itself says what is wrong with its output
                output = identity_of(config)
                if output not in by_output:
                    page = known.get(output) or LivePage(CountingSink(), config)
                    page.config = config
                    by_output[output] = by_name[_free(name, by_name)] = page
        return cls("outputs", by_name, by_output)

    @property
    def only(self) -> LivePage | None:
        """The page, if it is the only one."""
        return next(iter(self.by_name.values())) if len(self.by_name) == 1 else None

    def of(self, config: Any) -> LivePage | None:
        """Return the page of the output that the configuration of a step names."""
        with suppress(LakehouseError):
            return self.by_output.get(identity_of(config))
        return None

    def front(self) -> bytes:
        """Return the page that lists all; no ledger is read for it."""
        return front_page(
            self.kind,
            (
                (name, f"{self.kind}/{quote(name, safe='')}/", page.progress())
                for name, page in self.by_name.items()
            ),
        )


def _free(name: str, others: Container[str]) -> str:
    """Return a name that is free: the pipeline `a.b` may have a step `c`, and `a` a step `b.c`."""
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(each for each in names if each not in others)


def _collects(config: Any) -> bool:
    return isinstance(config, WorkflowConfig)
