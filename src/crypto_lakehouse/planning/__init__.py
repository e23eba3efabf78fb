"""Makes a lazy plan from a configuration and a matrix: which archives a run has to collect.

1. `selection` resolves symbols, intervals and partitions against the matrix, and refuses what it
   does not offer.
2. Three plans answer the same questions (`core.plan.Plan`), a series at a time:
   - `calendar_plan` asks no source: `periods` covers the range with days and months.
   - `listed_plan` asks the source's listing: `listed_folders` reads one folder, `listed_cover`
     covers the window with what is listed, `unlisted` collects what is not, and `spool` keeps
     the series on disk. `selection_faults` names unknown symbols and filters that nothing fits.
   - `explicit_plan` is a list of keys: those that failed, or that are to be repaired.

Memory does not grow with the plan. The same inputs give the same plan, byte for byte. Archives
that cannot exist, or are not listed, are in the plan with the reason and are never requested.
Nothing is downloaded here.
"""
