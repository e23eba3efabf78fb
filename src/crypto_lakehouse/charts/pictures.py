"""Pictures that look alike on every machine, and are whole once they have their name."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EEXIST
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.stores.disk import Disk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DPI", "drawing", "rendered", "settings", "write_whole"]

#: Of pictures that are made of dots.
DPI = 150

#: Fonts for symbols like `币安人生USDT`; whichever is installed comes behind the usual one.
_WIDE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
               "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
               "Arial Unicode MS", "PingFang SC", "Microsoft YaHei", "SimHei")  # fmt: skip


@contextmanager
def drawing() -> Iterator[None]:
    """Draw as every picture here looks, whatever a user's own settings of matplotlib are."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # A symbol in a script that no installed font has is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(settings())
        yield


def rendered(figure: Figure, kind: str) -> bytes:
    """Make `svg` or `png` of a figure, the same bytes whenever it is drawn."""
    data = io.BytesIO()
    # Nothing of the day, nor of the version.
    silent = ("Date", "Creator", "Format", "Type") if kind == "svg" else ("Software",)
    with drawing():
        figure.savefig(data, format=kind, dpi=DPI, metadata=dict.fromkeys(silent))
    return data.getvalue()


def write_whole(file: Path, data: bytes) -> None:
    """Write a file that gets its name once it is whole.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        if file.exists() and not file.is_file():
            raise OSError(EEXIST, "what is there is no file")
        Disk().write(str(file), data, str(file.with_name(f"{file.name}.{os.getpid()}.part")))
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        reason = f"cannot be written: {what}; choose another file"
        raise ConfigurationError([Problem(str(file), reason)]) from error


def settings() -> Any:
    """What a user's own settings of matplotlib must not change."""
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
