"""What the file of metrics of earlier runs says, and a run may not find out for itself.

A run that fails knows nothing of the runs before it, and a verification or an ingestion nothing of
holes and freshness. If that left the file, alerts about it would be resolved.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from attrs import define, field

from crypto_lakehouse.sinks.prometheus_metrics import LAST_SUCCESS
from crypto_lakehouse.sinks.run_figures import GroupCoverage, Labels, RunFigures

__all__ = ["take_over"]

_DAY_S = 86_400
_GROUP = ("market", "data_type")
_SERIES = (*_GROUP, "symbol", "interval")

_PREFIX = "crypto_lakehouse_"
_END = f"{_PREFIX}run_end_timestamp_seconds"
_NEWEST = f"{_PREFIX}newest_verified_timestamp_seconds"
_LAG = f"{_PREFIX}source_lag_seconds"
_HOLES = f"{_PREFIX}holes"
_OBJECTIVE = f"{_PREFIX}freshness_objective_seconds"

_NAMES = (LAST_SUCCESS, _END, _NEWEST, _LAG, _HOLES, _OBJECTIVE)
_SAMPLE = re.compile(
    rf"^({'|'.join(_NAMES)})"
    r"\{([^{}\n]{1,512})\} ([0-9]{1,17}(?:\.[0-9]{1,17})?(?:e\+[0-9]{1,2})?)$",
    re.MULTILINE,
)
_LABEL = re.compile(r'([a-z_]{1,64})="([^"\\]{0,64})"')
_WORKFLOW = re.compile(r"[a-z_]{1,64}")

#: No time and no duration of these metrics is as large; it is a year far from now, in seconds.
_TOO_LARGE = 1e11


@define
class _Group:
    newest_s: float = 0
    lag_s: float = 0
    hole_days: Counter[str] = field(factory=Counter)

    def add(self, name: str, labels: dict[str, str], value: float) -> None:
        if name == _NEWEST:
            self.newest_s = max(self.newest_s, value)
        elif name == _LAG:
            self.lag_s = max(self.lag_s, value)
        else:
            self.hole_days[labels.get("cause", "")] += int(value)

    def coverage(self) -> GroupCoverage:
        """The newest day is the one that has ended then."""
        newest = datetime.fromtimestamp(self.newest_s, UTC).date() - timedelta(days=1)
        return GroupCoverage(
            hole_days=self.hole_days,
            newest=newest if self.newest_s else None,
            lag_days=int(self.lag_s / _DAY_S),
        )


def take_over(text: bytes, figures: RunFigures, tenant: str) -> None:
    """Take from the file of earlier runs what holds until a run finds out something else.

    These are the times at which the newest run of each workflow has ended and was complete, and for
    each group of series holes, lag, the newest day and the objective. Lines of other tenants, and
    lines that no run has written, are left out.

    Args:
        text: What the file has.
        figures: Takes it.
        tenant: The tenant of this run; empty without one.
    """
    names = _SERIES if figures.by_symbol else _GROUP
    groups: dict[Labels, _Group] = {}
    objectives: dict[Labels, float] = {}
    for name, labels, value in _samples(text, tenant):
        if name in (LAST_SUCCESS, _END):
            moments = figures.succeeded if name == LAST_SUCCESS else figures.finished
            if _WORKFLOW.fullmatch(workflow := labels.get("workflow", "")):
                moments.setdefault((workflow,), value)
        elif labels.keys() >= {*(_GROUP if name == _OBJECTIVE else names)}:
            if name == _OBJECTIVE:
                objectives[tuple(labels[each] for each in _GROUP)] = value
            else:
                group = tuple(labels[each] for each in names)
                groups.setdefault(group, _Group()).add(name, labels, value)
    known = {group: each.coverage() for group, each in groups.items()}
    figures.take_earlier(known, objectives)


def _samples(text: bytes, tenant: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value of each line that matters; without the label `tenant`."""
    for found in _SAMPLE.finditer(text.decode(errors="replace")):
        labels = dict(_LABEL.findall(found[2]))
        value = float(found[3])
        if labels.pop("tenant", "") == tenant and value < _TOO_LARGE:
            yield found[1], labels, value
