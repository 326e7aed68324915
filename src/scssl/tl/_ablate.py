"""``ablate``: what each choice is worth, every combination of a grid as a line of a benchmark."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from scssl._errors import InputError
from scssl.bench import ablation
from scssl.bench.split import EACH
from scssl.table.ablation import columns
from scssl.tl._benchmark import benchmark

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


def ablate(
    data: AnnData | MuData,
    *,
    method: str = "simclr",
    grid: Mapping[str, Sequence[object]],
    batch_key: str | None = None,
    label_key: str | None = None,
    tasks: Sequence[str] | None = None,
    seeds: int | Sequence[int] = 1,
    split_key: str | None = None,
    held_out: str | Sequence[str] = EACH,
    metrics: str | Sequence[str] | None = None,
    unlabelled: str | Sequence[str] | None = None,
    layer: str | None = None,
    accelerator: str = "auto",
    name: str = "",
    cache_dir: str | os.PathLike[str] | None = None,
    policy: str = "missing",
    n_jobs: int | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    **config: object,
) -> pd.DataFrame:
    """Train a method with every combination of some choices, score all of them.

    Parameters
    ----------
    data
        AnnData or MuData with log-normalised values, as :func:`scssl.pp.recipe` makes them.
    method
        The method; may be an axis of the grid instead.
    grid
        Values to try for fields of the configuration, and for ``within_batch``, ``preset``, ``precision``, ``mask_by``:
        ``{"temperature": [0.1, 0.5], "views": ssl.tl.pairs("mask:0.2", "gaussian")}``.
    batch_key, label_key, tasks, seeds, split_key, held_out, metrics, unlabelled
        As for :func:`scssl.tl.benchmark`.
    layer, accelerator, name
        As for :func:`scssl.tl.benchmark`.
    cache_dir, policy, n_jobs, timeout, progress
        As for :func:`scssl.tl.benchmark`: a grid that was stopped continues, a wider grid trains what is new.
    config
        Fields of the configuration that all combinations share.

    Returns
    -------
    pandas.DataFrame
        Rows as :func:`scssl.tl.benchmark` returns them, and a column for each axis of the grid. The name of a line
        says which combination it is (``"simclr: temperature=0.1, width=32"``), so that stored rows can be read
        back by :func:`scssl.get.scores` and drawn by :func:`scssl.pl.ablation`. Slots written:

        - ``.uns["scssl"]["scores"]``: the same rows without the columns of the axes

    Raises
    ------
    InputError
        If the grid is empty or an axis is no list of different values, before anything is trained.
    KeyNotFoundError
        If the method has no field that the grid names.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch", n_top_genes=300)
    >>> scores = ssl.tl.ablate(
    ...     adata,
    ...     grid={"temperature": [0.1, 0.5]},
    ...     batch_key="batch",
    ...     label_key="cell_type",
    ...     tasks=["batch_correction"],
    ...     max_epochs=1,
    ... )
    >>> scores["temperature"].dropna().unique().tolist()
    [0.1, 0.5]
    """
    table = benchmark(
        data,
        methods=ablation.lines(method, grid, config),
        batch_key=batch_key,
        label_key=label_key,
        tasks=tasks,
        seeds=seeds,
        split_key=split_key,
        held_out=held_out,
        metrics=metrics,
        unlabelled=unlabelled,
        layer=layer,
        accelerator=accelerator,
        name=name,
        cache_dir=cache_dir,
        policy=policy,
        n_jobs=n_jobs,
        timeout=timeout,
        progress=progress,
    )
    return table.join(columns(table))


def pairs(*views: object) -> list[list[object]]:
    """Every view alone and every two of them together, as values for an axis ``views`` of :func:`scssl.tl.ablate`.

    Parameters
    ----------
    views
        Names of views, with or without their main parameter, or views.

    Returns
    -------
    list of list
        ``[[a], [a, b], ..., [b], ...]``, each pair once, in the order given.

    Raises
    ------
    InputError
        If there are fewer than two views.

    Examples
    --------
    >>> import scssl as ssl
    >>> ssl.tl.pairs("mask:0.2", "gaussian")
    [['mask:0.2'], ['mask:0.2', 'gaussian'], ['gaussian']]
    """
    if len(views) < 2:
        msg = f"{len(views)} views make no pair."
        raise InputError(msg, code="bad_grid", parameter="views", fix='For example pairs("mask", "gaussian").')
    found = itertools.combinations_with_replacement(range(len(views)), 2)
    return [[views[i]] if i == j else [views[i], views[j]] for i, j in found]
