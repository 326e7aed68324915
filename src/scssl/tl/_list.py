"""What exists, without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scssl._registry import METHODS, METRICS, TASKS, VIEWS

if TYPE_CHECKING:
    import pandas as pd


_SHORT = ["family", "summary"]  # what fits into 80 characters, as pandas prints it


def methods(pattern: str = "*", *, full: bool = False) -> pd.DataFrame:
    """All methods, ours and those of installed plug-ins.

    Parameters
    ----------
    pattern
        Wildcard pattern for names, e.g. ``"sim*"``.
    full
        Also what a method expects, how it compares cells of several batches (``within_batch``), whether it trains,
        whether it can reconstruct values (``decodes``), its reference and where it comes from.

    Returns
    -------
    pandas.DataFrame
        One row a method: its family, and when to choose it.

    Examples
    --------
    >>> import scssl as ssl
    >>> ssl.tl.methods("sim*")["family"].to_dict()
    {'simclr': 'contrastive', 'simsiam': 'distillation'}
    >>> ssl.tl.methods("[mp]*", full=True).query("decodes").index.to_list()
    ['mae', 'pca']
    """
    table = METHODS.table(pattern)
    return table if full else table[_SHORT]


def tasks() -> pd.DataFrame:
    """All tasks.

    Returns
    -------
    pandas.DataFrame
        One row a task: title, arguments it needs, what it asks of an embedding.

    Examples
    --------
    >>> import scssl as ssl
    >>> "batch_correction" in ssl.tl.tasks().index
    True
    """
    return TASKS.table()


def metrics() -> pd.DataFrame:
    """All metrics.

    Returns
    -------
    pandas.DataFrame
        One row a metric: title, task, group, range, direction, reference.

    Examples
    --------
    >>> import scssl as ssl
    >>> ssl.tl.metrics().loc["ilisi", "better"]
    'higher'
    """
    return METRICS.table()


def views() -> pd.DataFrame:
    """All views, for the `views` of :func:`scssl.tl.fit`.

    Returns
    -------
    pandas.DataFrame
        One row a view: what it does, reference.

    Examples
    --------
    >>> import scssl as ssl
    >>> ssl.tl.views().loc["mask", "summary"]
    'sets a share of the genes to zero'
    """
    return VIEWS.table()
