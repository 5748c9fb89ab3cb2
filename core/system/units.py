"""Quantities as people read them, the same wherever they are shown."""

from __future__ import annotations

UNKNOWN = "–"
GIB = 2**30


def count(value: float | None) -> str:
    """Return a count of parameters or tokens in short: 7900000 -> 7.9M."""
    if value is None:
        return UNKNOWN
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.0f}"


def counted(number: int, what: str) -> str:
    """Return a number of things: 1 GPU, 2 GPUs."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def format_bytes(count_of_bytes: float | None) -> str:
    """Return the bytes of a file as text, in decimal units as hubs and file managers show them."""
    if count_of_bytes is None:
        return UNKNOWN
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count_of_bytes >= unit:
            return f"{count_of_bytes / unit:.3g} {name}"
    return f"{count_of_bytes:.0f} B"


def format_gib(count_of_bytes: float) -> str:
    """Return the bytes of memory or disk that a run needs or a machine has, in binary units."""
    return f"{count_of_bytes / GIB:,.1f} GiB" if count_of_bytes >= GIB else f"{count_of_bytes / 2**20:,.0f} MiB"


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    seconds = max(seconds, 0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"
