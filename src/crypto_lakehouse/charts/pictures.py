"""Pictures that look the same on every machine, and are complete once they have their name."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.stores.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DPI", "drawing", "rendered", "settings", "write_whole"]

#: Resolution of raster pictures, in dots per inch.
DPI = 150

#: Fonts for symbols like `币安人生USDT`; those that are installed are fallbacks of the usual one.
_WIDE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
               "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
               "Arial Unicode MS", "PingFang SC", "Microsoft YaHei", "SimHei")  # fmt: skip


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with the settings of this package, whatever the user's own matplotlib settings are."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # A symbol in a script that no installed font has is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(settings())
        yield


def rendered(figure: Figure, kind: str) -> bytes:
    """Render a figure as `svg` or `png`, with the same bytes each time."""
    data = io.BytesIO()
    # Neither the date nor the version.
    silent = ("Date", "Creator", "Format", "Type") if kind == "svg" else ("Software",)
    with drawing():
        figure.savefig(data, format=kind, dpi=DPI, metadata=dict.fromkeys(silent))
    return data.getvalue()


def write_whole(file: Path, data: bytes) -> None:
    """Write a file that gets its name once it is complete.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        with whole_file(file) as part:
            part.write(data)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}; choose another file"
        raise ConfigurationError([Problem(str(file), reason)]) from error


def settings() -> Any:
    """Return the settings that a user's own matplotlib settings must not change."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return {
        "font.family": ["DejaVu Sans", *(name for name in _WIDE_FONTS if name in installed)],
        "hatch.linewidth": 0.6,
        "savefig.bbox": None,
        "savefig.facecolor": "auto",
        "svg.fonttype": "none",  # text stays text: it can be searched, and has the reader's fonts
        "svg.hashsalt": "crypto-lakehouse",
        "text.usetex": False,
    }
