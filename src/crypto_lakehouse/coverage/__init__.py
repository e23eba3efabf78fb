"""Computes how complete a collected series is, and why each missing day is missing.

1. `records` are the ledger's facts of one series, as plain values.
2. `series_life` says when the series exists, by the matrix, its name and the last listing.
3. `coverage` gives every day of a window its state: covered, or a hole with the first cause that
   fits (its docstring has the table).
4. `months` sums days up to months, as calendars show them.

All of it is pure: no file, no clock, no request. A hole's cause is judged by what is known today,
not by what a run made of it at the time. Rows inside archives are not looked at; `tables.quality`
does that.
"""
