"""Pictures and pages: coverage, candles, validations. Needs the extra `plot`, and no display.

- `coverage_plot` draws coverage as a calendar of months, a line for each series.
- `candle_chart` draws bars as candles, with gaps where the data has none.
- `shown` draws both for a notebook, which shows them by itself, and for the command `draw`.
- `validation_plots` and `validation_html` write a validation as one page without scripts.
- `pictures` makes them the same on every machine, and renames a file when it is complete.

matplotlib is imported on first use, so that importing this package costs nothing without it. The
same values give the same picture, byte for byte, with the same version of matplotlib. Colours can
be distinguished without seeing red and green; every colour that has a meaning has a pattern too.
"""

from crypto_lakehouse.charts.coverage_plot import MatplotlibMissing
from crypto_lakehouse.charts.shown import Picture, candles, coverage

__all__ = ["MatplotlibMissing", "Picture", "candles", "coverage"]
