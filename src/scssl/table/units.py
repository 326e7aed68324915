"""Numbers, seconds and megabytes as people read them."""

from __future__ import annotations

import pandas as pd


def number(value: float, digits: int = 2) -> str:
    """A score to be read; zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if pd.isna(seconds):
        return "–"
    if seconds < 60:
        return "< 0.1 s" if seconds < 0.05 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def memory(mb: float) -> str:
    """MiB as people say them."""
    if pd.isna(mb):
        return "–"
    return f"{mb:,.0f} MB" if mb < 1000 else f"{mb / 1024:.1f} GB"
