"""The page of an output, as HTML: coverage, holes, verdicts, runs, freshness, origins, findings.

- `markup` makes elements; every text that is put into one is escaped.
- `figures` are the values of a page; `workflows.page_figures` reads them from the ledger.
- `calendar` cuts the coverage of series into months or days; `strips` draws them.
- `sections`, `coverage_calendar` and `progress` are parts of the `page`; a front page lists others.
  `page.css` is its style, `live.js` the one script, of the page that is served while a run goes on.

Nothing here reads a ledger or a lake, or knows a network. A page loads nothing: styles and pictures
are in it, and its content security policy forbids everything else.
"""
