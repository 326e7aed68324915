"""What scssl has stored in an object, as frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scssl import _keys, _results
from scssl._registry import unknown
from scssl.bench import statistics
from scssl.bench.board import board

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from mudata import MuData

__all__ = ["history", "models", "scores", "summary"]

_STATISTICS = ("mean", "sd", "text")


def scores(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    profile: str = "clean",
    method: str | None = None,
    task: str | None = None,
) -> pd.DataFrame:
    """Result rows, one number per row.

    Parameters
    ----------
    data
        Object that was scored by :func:`scssl.tl.evaluate` or :func:`scssl.tl.benchmark`, a table of result rows, or
        the path of one as CSV.
    profile
        ``"clean"``: the rows as they are stored, raw values. ``"paper"``: one row per run and metric, splits averaged,
        the batch-correction metrics min-max scaled over the methods inside each seed, and the rows ``bio``, ``batch``
        and ``total`` (0.6 bio + 0.4 batch) added :cite:p:`ovcharenko2025scssl`. These numbers depend on which methods
        are in the table; they are computed here and stored nowhere.
    method, task
        Keep the rows of one method or of one task.

    Returns
    -------
    Frame with the columns of the result schema (``method, seed, task, split, metric, value, scaled, status ...``).

    Raises
    ------
    InputError
        If `data` holds no table of scores, or the profile does not exist.
    KeyNotFoundError
        If `method` or `task` is not in the table.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> scores = ssl.tl.evaluate(adata, use_rep="X_pca", batch_key="batch", label_key="cell_type")
    >>> rows = ssl.get.scores(adata, task="cell_typing")
    >>> sorted(rows["method"].unique())
    ['oracle', 'pca', 'random']
    """
    statistics.check_profile(profile)
    table = _results.read(data)
    if profile == statistics.PAPER:
        table = _scaled_rows(table)
    for column, wanted in (("method", method), ("task", task)):
        if wanted is not None:
            known = sorted(set(table[column]))
            if wanted not in known:
                raise unknown(column, wanted, known)
            table = table[table[column] == wanted]
    return table.reset_index(drop=True)


def summary(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    profile: str = "clean",
    statistic: str = "mean",
) -> pd.DataFrame:
    """One line per method, best total first: totals, metrics, seconds, and a note on what is missing.

    Splits are averaged first, then data sets, then seeds. A total is computed from complete sets of metrics only: if one
    metric failed, the total is missing and the note says why.

    Parameters
    ----------
    data
        As for :func:`scores`.
    profile
        ``"clean"``: totals of raw values. ``"paper"``: totals of values that are min-max scaled over the methods.
    statistic
        ``"mean"`` over seeds, ``"sd"`` (standard deviation over seeds, missing for one seed), or ``"text"``: both, to
        be printed.

    Returns
    -------
    Frame indexed by method. Controls stand at the end.

    Raises
    ------
    InputError
        If `data` holds no table of scores, or `profile` or `statistic` does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> scores = ssl.tl.evaluate(adata, use_rep="X_pca", batch_key="batch", label_key="cell_type")
    >>> list(ssl.get.summary(scores).index)
    ['pca', 'random', 'oracle']
    """
    if statistic not in _STATISTICS:
        raise unknown(kind="statistic", name=statistic, known=list(_STATISTICS))
    table = board(_results.read(data), profile=profile)
    if statistic == "text":
        numbers = _text(table.mean, table.sd)
        seconds = table.lines["seconds"].map(lambda s: "" if pd.isna(s) else f"{s:.1f}")
    else:
        numbers, seconds = getattr(table, statistic), table.lines["seconds"]
    numbers = numbers.rename_axis(index="method", columns=None)
    return numbers.assign(seconds=seconds, n_seeds=table.lines["n_seeds"], note=table.lines["note"])


def history(data: AnnData | MuData, key: str) -> pd.DataFrame:
    """The training of a model, one row per epoch: loss and its terms, what the embedding is like, seconds.

    On some of the cells (at most 512 and 128, the same in every epoch): the effective rank of their embedding, the
    spread of a dimension, the mean cosine of two views of the same cell and of views of different cells.

    Parameters
    ----------
    data
        Object with which the model was trained.
    key
        Name of the model, the ``key_added`` of :func:`scssl.tl.fit` (by default the name of the method).

    Returns
    -------
    Frame with the columns ``epoch``, ``loss``, further terms of the loss, ``seconds``, ``effective_rank``, ``spread``,
    ``positive_similarity``, ``negative_similarity``; empty for methods that are not trained.

    Raises
    ------
    KeyNotFoundError
        If there is no such model.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="simclr", batch_key="batch", max_epochs=2)
    >>> len(ssl.get.history(adata, "simclr")["loss"])
    2
    """
    records = _keys.peek(data).get(_keys.MODELS, {})
    name = key if key in records else _keys.bare(key)
    if name not in records:
        raise unknown(kind="model", name=key, known=sorted(records), parameter="key")
    return pd.DataFrame(records[name].get("history", {})).reset_index(drop=True)


def models(data: AnnData | MuData) -> pd.DataFrame:
    """All models that were trained with an object, one per row.

    Parameters
    ----------
    data
        Object with which models were trained.

    Returns
    -------
    Frame indexed by key with ``method, config`` (JSON)``, seed, n_obs, n_vars, epochs, seconds, loss`` (of the last
    epoch)``, device, version, created`` and the other plain values of the records; empty if nothing was trained.

    Examples
    --------
    >>> import scssl as ssl
    >>> ssl.get.models(ssl.datasets.pbmc68k()).empty
    True
    """
    records = _keys.peek(data).get(_keys.MODELS, {})
    rows = {}
    for key, record in records.items():
        losses = pd.DataFrame(record.get("history", {})).get("loss")
        plain = {name: value for name, value in record.items() if name != "history"}
        rows[key] = {**plain, "loss": float("nan") if losses is None or losses.empty else float(losses.iloc[-1])}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("key")


def _scaled_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the paper profile: whatever is the same for a whole run is kept, the rest has its default."""
    table = statistics.identified(table)
    runs = statistics.per_run(table, profile=statistics.PAPER)
    place = ["data_id", "method", "config_id", "seed"]
    about = [*place, "data", "n_obs", "fit_s", "embed_s", "peak_mb", "device", "version", "created"]
    runs = runs.merge(table[about].drop_duplicates(place), on=place, how="left")
    meaning = table[["task", "metric", "better", "main"]].drop_duplicates(["task", "metric"])
    runs = runs.merge(meaning, on=["task", "metric"], how="left").fillna({"better": "higher"})
    runs = runs.assign(main=runs["main"].eq(other=True), n_obs=runs["n_obs"].fillna(0))
    runs["status"] = runs["status"].replace(statistics.MISSING, _results.FAILED)
    return _results.conform(runs)


def _text(mean: pd.DataFrame, sd: pd.DataFrame) -> pd.DataFrame:
    """``0.71 ± 0.02`` per number."""
    columns = {}
    for name in mean:
        pairs = zip(mean[name], sd[name], strict=True)
        columns[name] = ["–" if pd.isna(m) else f"{m:.2f}" if pd.isna(s) else f"{m:.2f} ± {s:.2f}" for m, s in pairs]
    return pd.DataFrame(columns, index=mean.index)
