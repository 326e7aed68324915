from __future__ import annotations

from typing import TYPE_CHECKING

from scssl import _settings
from scssl.data import scored
from scssl.table.advice import SENTENCE, advise
from scssl.table.board import board

if TYPE_CHECKING:
    import os

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


def recommend(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    missing: str = "keep",
    over: str = "auto",
) -> pd.DataFrame:
    """Which methods cannot be told from the best in each task, and what they cost.

    Says it in words (``settings.verbosity`` of ``"info"`` and above) and returns it as a frame. A method is as good as the best
    if no other one is better beyond chance, see :func:`scssl.get.ranks`. Among those, the cheapest is a good choice. Controls (noise,
    the untrained encoder) are never recommended; where one is as good as the best, the sentence says so.

    Parameters
    ----------
    data
        Scored object, result rows, or their path as CSV, as for :func:`scssl.get.scores`.
    missing, over
        As for :func:`scssl.get.summary`.

    Returns
    -------
    Frame with one row per task: ``task, metric, best`` (methods without controls, best mean first)``, mean, low, high`` (of the first, with its
    95 % interval)``, cheapest`` (of `best`)``, seconds, peak_mb`` (of the cheapest)``, n`` (repeats)``, sentence``.

    Raises
    ------
    InputError
        If `data` holds no scores, or `missing` or `over` does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch", n_top_genes=500)
    >>> scores = ssl.tl.benchmark(
    ...     adata,
    ...     methods=["pca", "untrained"],
    ...     batch_key="batch",
    ...     label_key="cell_type",
    ...     tasks=["cell_typing"],
    ...     seeds=2,
    ... )
    >>> advice = ssl.tl.recommend(scores)
    >>> advice.loc[0, "best"]
    ['pca']
    """
    found = advise(board(scored.read(data), missing=missing, over=over))
    for sentence in found[SENTENCE]:
        _settings.info(sentence)
    return found
