"""Sizes and durations as text for people."""

from __future__ import annotations

__all__ = ["bytes_text", "duration_text"]


def bytes_text(size: float) -> str:
    """A size in decimal units.

    Examples:
        >>> bytes_text(999), bytes_text(69_497), bytes_text(2.5e9)
        ('999 B', '69.5 kB', '2.5 GB')
    """
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def duration_text(seconds: float) -> str:
    """A duration in one or two units, rounded.

    Examples:
        >>> duration_text(0.2), duration_text(59.6), duration_text(3700), duration_text(200_000)
        ('1 s', '1 min', '1 h 2 min', '2 d 7 h')
    """
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
