"""What exists, without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scssl._registry import METHODS, METRICS, TASKS, VIEWS

if TYPE_CHECKING:
    import pandas as pd


# what fits into a terminal, as pandas prints it
_METHODS, _TASKS, _METRICS = ["family", "summary"], ["needs", "summary"], ["task", "summary"]


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
    >>> ssl.tl.methods("[mp][ac]*", full=True).query("decodes").index.to_list()
    ['mae', 'pca']
    """
    table = METHODS.table(pattern)
    return table if full else table[_METHODS]


def tasks(*, full: bool = False) -> pd.DataFrame:
    """All tasks.

    Parameters
    ----------
    full
        Also title, trivial predictors, what cells are embedded from, reference and where it comes from.

    Returns
    -------
    pandas.DataFrame
        One row a task: arguments it needs, what it asks of an embedding.

    Examples
    --------
    >>> import scssl as ssl
    >>> "batch_correction" in ssl.tl.tasks().index
    True
    """
    table = TASKS.table()
    return table if full else table[_TASKS]


def metrics(*, full: bool = False) -> pd.DataFrame:
    """All metrics.

    Parameters
    ----------
    full
        Also title, group, range, direction (``better``), the control that no real embedding falls below (``floor``),
        whether it is computed by default, the function of scib-metrics that computes it with ``engine="scib-metrics"``
        (``scib``), reference and where it comes from.

    Returns
    -------
    pandas.DataFrame
        One row a metric: its task, and what it measures.

    Examples
    --------
    >>> import scssl as ssl
    >>> ssl.tl.metrics().loc["ilisi", "task"]
    'batch_correction'
    >>> ssl.tl.metrics(full=True).loc["ilisi", ["better", "floor"]].tolist()
    ['higher', 'batch']
    """
    table = METRICS.table()
    return table if full else table[_METRICS]


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
