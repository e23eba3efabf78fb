"""A validation's report as one HTML page without scripts, fonts or external pictures.

Needs matplotlib for its plots (`pip install "crypto-lakehouse[plot]"`); without it the page has
none, and says so. Keys and sentences may be text of unknown origin: they are escaped, invisible
characters too, and the page's content security policy forbids it to load anything.

Verdicts have the colours of Okabe and Ito's palette; ink and lines of the plots follow the page's
theme, dark or light.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from attrs import evolve, frozen

from crypto_lakehouse.charts.pictures import write_whole
from crypto_lakehouse.charts.validation_plots import (
    COLOURS,
    VARIABLES,
    VERDICTS,
    html_text,
    news_of,
    plots_of,
    rank_of,
    verdict_mark,
    visible,
)
from crypto_lakehouse.core.messages import counted_with_folders, plural
from crypto_lakehouse.tables.quality.findings import (
    ArchiveQuality,
    Finding,
    Severity,
    ValidationReport,
)

__all__ = ["MOST_ARCHIVES", "VERDICTS", "CheckTotal", "check_totals", "headline",
           "visible", "worst_first", "write_html"]  # fmt: skip

#: How many archives a page lists with their findings.
MOST_ARCHIVES = 500

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
:root{--page:#fff;--ink:#24292f;--faint:#57606a;--line:#c9d1d9;--track:#eaeef2;--good:#93c3e3}
@media screen and (prefers-color-scheme:dark){
:root{--page:#0d1117;--ink:#e6edf3;--faint:#9da7b1;--line:#3d444d;--track:#21262d;--good:#2f6690}}
body{background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif;margin:0}
main{max-width:72rem;margin:auto;padding:2rem 1.2rem}.lead{font-size:1.2rem;max-width:60rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2.5rem 0 .6rem;break-after:avoid}
figure{margin:1.2rem 0 2rem}figure,.scroll{overflow-x:auto}
figure svg{display:block;width:100%;min-width:40rem;height:auto;margin-top:.4rem}
figcaption,caption,small{color:var(--faint);font-size:.875rem;font-weight:normal;text-align:left}
table{border-collapse:collapse;font-size:.9rem}td,tbody th{border-bottom:1px solid var(--line)}
th,td{padding:.3rem 1.1rem .3rem 0;text-align:left;vertical-align:top;overflow-wrap:anywhere}
thead th{border-bottom:2px solid var(--line);white-space:nowrap}tbody th{padding-top:1.1rem}
th small{display:block}
th.n,td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:.85rem ui-monospace,monospace}.v{white-space:nowrap;margin-right:.6em}
.v i{display:inline-block;width:.75em;height:.75em;margin-right:.45em;border-radius:2px;
print-color-adjust:exact;-webkit-print-color-adjust:exact}svg{print-color-adjust:exact}
@media print{main{max-width:none;padding:0}figure,tr{break-inside:avoid}}
""" + "".join(
    f".{name} i{{background:{f'var({VARIABLES[it]})' if it in VARIABLES else it}}}\n"
    for name, it in COLOURS.items()
)


def write_html(path: str | os.PathLike[str], report: ValidationReport) -> Path:
    """Write the page; blocking. The file gets its name once it is complete.

    The same report gives the same file, byte for byte, with one version of matplotlib.

    Raises:
        ConfigurationError: It cannot be written.
    """
    file = Path(path)
    write_whole(file, _page(report).encode())
    return file


def headline(report: ValidationReport) -> str:
    """Summarise in a sentence or two how good the archives are."""
    text = _headline(report)
    if not report.arriving:
        return text
    left_out = plural(report.arriving, "archive")
    return f"{text} Left out: {left_out} that a collection has not settled yet."


def _headline(report: ValidationReport) -> str:
    counts, findings = report.verdicts, list(report.findings)
    folders = report.folders
    archives = counted_with_folders(len(report.archives) - folders, folders, form=",")
    total = f"{archives} with {plural(report.rows, 'row', form=',')}"
    if counts["good"] == len(report.archives) and not findings:
        return f"Nothing was found in {total}." if report.archives else "No archive was checked."
    names = {"error": "with errors", "warning": "with warnings"}
    said = ", ".join(f"{counts[it]:,} {names.get(it, it)}" for it in VERDICTS if counts[it])
    new = sum(not finding.source for finding in findings)
    known = f"{len(findings) - new:,} known upstream, {new:,} new"
    return f"Of {total}: {said}. {plural(len(findings), 'finding', form=',')}: {known}."


@frozen(kw_only=True)
class CheckTotal:
    """What one check found.

    Attributes:
        severity: The worst severity.
        archives: The number of archives with findings.
        rows: The number of rows concerned in all of them.
        new: How many of its findings are not known upstream.
    """

    check: str
    severity: Severity
    archives: int
    rows: int
    new: int


def check_totals(report: ValidationReport) -> list[CheckTotal]:
    """Sum up the findings by check, worst and most frequent first."""
    found: dict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        found[finding.check].append(finding)
    totals = (
        CheckTotal(
            check=check,
            severity=min((of.severity for of in findings), key=rank_of),
            archives=len({of.key for of in findings}),
            rows=sum(of.rows for of in findings),
            new=sum(not of.source for of in findings),
        )
        for check, findings in found.items()
    )
    return sorted(totals, key=lambda of: (rank_of(of.severity), -of.archives, of.check))


def worst_first(report: ValidationReport) -> list[ArchiveQuality]:
    """Return the archives with findings, worst first; new findings come before known ones.

    Their findings are in the same order.
    """
    found = [archive for archive in report.archives if archive.fault or archive.findings]
    found.sort(key=lambda of: (rank_of(of.verdict), rank_of(news_of(of)), of.key))
    return [evolve(each, findings=tuple(sorted(each.findings, key=_weight))) for each in found]


def _weight(finding: Finding) -> tuple[int, bool]:
    return rank_of(finding.severity), bool(finding.source)


def _page(report: ValidationReport) -> str:
    parts = chain(_totals(report), _checks(report), plots_of(report), _findings(report))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark"><title>Validation report</title>'
        f"<style>{_STYLE}</style></head>\n<body><main><h1>Validation report</h1>\n"
        f'<p class="lead">{html_text(headline(report))}</p>\n{"".join(parts)}'
        "</main></body></html>\n"
    )


def _table(caption: str, columns: str, groups: Iterable[str]) -> str:
    """Return a table of groups of rows; names that end with `#` are of numeric columns."""
    heads = (
        f'<th scope="col"{" class=n" * name.endswith("#")}>{name.removesuffix("#")}</th>'
        for name in columns.split("|")
    )
    body = "".join(f"<tbody>{rows}</tbody>\n" for rows in groups)
    return (f'<div class="scroll"><table><caption>{caption}</caption>\n'
            f"<thead><tr>{''.join(heads)}</tr></thead>\n{body}</table></div>\n")  # fmt: skip


def _row(*cells: str | int) -> str:
    """Return a row of numbers and of texts, which must be HTML."""
    made = (f"<td>{of}" if isinstance(of, str) else f'<td class="n">{of:,}' for of in cells)
    return f"<tr>{'</td>'.join(made)}</td></tr>\n"


def _totals(report: ValidationReport) -> Iterator[str]:
    counts, whole = report.verdicts, len(report.archives)
    rows = "".join(
        _row(verdict_mark(name), counts[name], f"{100 * counts[name] / whole:.1f} %")
        for name in VERDICTS
        if counts[name]
    )
    yield "<h2>Verdicts</h2>\n"
    yield _table("How good each archive is", "verdict|archives#|share", [rows])


def _checks(report: ValidationReport) -> Iterator[str]:
    rows = "".join(
        _row(
            f"<code>{html_text(of.check)}</code>",
            verdict_mark(of.severity),
            of.archives,
            of.rows,
            of.new,
        )
        for of in check_totals(report)
    )
    columns = "check|worst|archives#|rows#|new findings#"
    yield "<h2>Checks</h2>\n"
    yield _table("What they found", columns, [rows]) if rows else "<p>They found nothing.</p>\n"


def _findings(report: ValidationReport) -> Iterator[str]:
    archives = worst_first(report)
    if archives:
        columns = "severity|check|rows#|what was found|policy|known from"
        groups = map(_archive, archives[:MOST_ARCHIVES])
        yield "<h2>Findings</h2>\n"
        yield _table("Archives, the worst first", columns, groups)
    if len(archives) > MOST_ARCHIVES:
        more = plural(len(archives) - MOST_ARCHIVES, "archive", form=",")
        yield f"<p>and {more} more; the report as JSON has them all</p>\n"


def _archive(archive: ArchiveQuality) -> str:
    facts = [plural(archive.rows, "row", form=","), *["with a header"] * archive.header]
    if archive.first_at and archive.last_at:
        facts.append(f"{archive.first_at:%Y-%m-%d %H:%M:%S} to {archive.last_at:%Y-%m-%d %H:%M:%S}")
    facts += [f"times in {archive.time_unit}"] if archive.time_unit else []
    fault = _row(verdict_mark("unreadable"), "", "", html_text(archive.fault), "", "")
    found = "".join(
        _row(verdict_mark(of.severity), f"<code>{html_text(of.check)}</code>", of.rows,
             html_text(of.sentence), html_text(of.policy), html_text(of.source or "new"))
        for of in archive.findings
    )  # fmt: skip
    return (
        f'<tr><th colspan="6" scope="rowgroup">{verdict_mark(archive.verdict)} '
        f"<code>{html_text(archive.key)}</code> "
        f"<small>{html_text(', '.join(facts))}</small></th></tr>\n"
        f"{fault if archive.fault else ''}{found}"
    )
