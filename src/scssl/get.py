"""What scssl has stored in an object, as frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scssl import _keys, _results
from scssl._protocol import of_profile
from scssl._words import unknown
from scssl.data import scored
from scssl.table import ranks as comparisons
from scssl.table import statistics
from scssl.table.board import board

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from mudata import MuData

    from scssl._protocol import Protocol

__all__ = ["differences", "flips", "history", "models", "ranks", "scores", "summary"]

_STATISTICS = ("mean", "sd", "low", "high", "text")


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
        the path of one as CSV. Of an object, scores of other cells, genes, labels or values than it has now are left
        out, and a warning counts them.
    profile
        ``"clean"``: the rows as they are stored, raw values. ``"paper"``: one row per run and metric, splits averaged,
        the batch-correction metrics min-max scaled over the methods inside each seed, and the rows ``bio``, ``batch``
        and ``total`` (0.6 bio + 0.4 batch) added :cite:p:`ovcharenko2025scssl`. Of batch correction only the ten published
        metrics are left; where batch silhouette or the kBET of scib-metrics were not scored (:func:`scssl.tl.evaluate`
        with ``profile="paper"`` does), BRAS and our kBET stand in. These numbers depend on which methods are in the
        table (see :func:`flips`); they are computed here and stored nowhere.
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
    protocol = of_profile(profile)
    table = scored.read(data)
    if protocol.min_max:
        table = _scaled_rows(table, protocol)
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
    missing: str = "keep",
    over: str = "auto",
) -> pd.DataFrame:
    """One line per method, best total first: totals, metrics, cost, and a note on what is missing.

    Splits are averaged first, then data sets, then seeds. A total is computed from complete sets of metrics only: if one
    metric failed, the total is missing and the note says what it would be otherwise.

    Parameters
    ----------
    data
        As for :func:`scores`.
    profile
        ``"clean"``: totals of raw values. ``"paper"``: totals of values that are min-max scaled over the methods.
    statistic
        ``"mean"``, ``"sd"`` (standard deviation), ``"low"`` or ``"high"`` (bounds of the 95 % interval of the mean,
        Student's :cite:p:`student1908probable`), or ``"text"``: mean and half of the interval, to be printed. All but
        the mean are missing for one repeat.
    missing
        What a number that failed does to averages. ``"keep"``: they are missing too. ``"drop"``: they leave it out.
        ``"floor"``: it counts as the random control of the same question.
    over
        What a repeat is. ``"seeds"``: what would other seeds give on these data? ``"data"``: what would other data
        sets give? ``"auto"``: data sets if there are at least three.

    Returns
    -------
    Frame indexed by method. Controls stand at the end.

    Raises
    ------
    InputError
        If `data` holds no table of scores, or `profile`, `missing` or `over` does not exist.
    KeyNotFoundError
        If `statistic` does not exist.

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
    table = board(scored.read(data), protocol=of_profile(profile), missing=missing, over=over)
    if statistic == "text":
        numbers = _text(table.mean, table.high - table.mean)
        seconds = table.lines["seconds"].map(lambda s: "" if pd.isna(s) else f"{s:.1f}")
        peak_mb = table.lines["peak_mb"].map(lambda mb: "" if pd.isna(mb) else f"{mb:.0f}")
    else:
        numbers, seconds, peak_mb = getattr(table, statistic), table.lines["seconds"], table.lines["peak_mb"]
    numbers = numbers.rename_axis(index="method", columns=None)
    lines = table.lines
    return numbers.assign(seconds=seconds, peak_mb=peak_mb, n_seeds=lines["n_seeds"], note=lines["note"])


def ranks(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    task: str | None = None,
    profile: str = "clean",
    missing: str = "keep",
    over: str = "auto",
) -> pd.DataFrame:
    """Between which ranks each method lies, for the leading number of each task.

    All pairs of methods are compared, by Welch's test over seeds or a paired one over data sets, with p-values adjusted
    for their number; with 95 % probability all intervals hold their true rank :cite:p:`mogstad2024inference`. Methods whose
    interval begins with 1 cannot be told from the best.

    Parameters
    ----------
    data
        As for :func:`scores`.
    task
        Keep one task.
    profile, missing, over
        As for :func:`summary`.

    Returns
    -------
    Frame with the columns ``task, metric, method, mean, low, high, rank, rank_low, rank_high, tied, status, n, seconds,
    peak_mb``, best first. Methods without a number, and collapsed ones, have rank 0.

    Raises
    ------
    InputError
        If `data` holds no table of scores, or `profile`, `missing` or `over` does not exist.
    KeyNotFoundError
        If `task` is not in the table.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> scores = ssl.tl.evaluate(adata, use_rep="X_pca", batch_key="batch", label_key="cell_type")
    >>> ssl.get.ranks(scores, task="cell_typing")[["method", "rank_low", "rank_high"]].to_numpy().tolist()
    [['pca', 1, 1]]
    """
    found = comparisons.ranks(board(scored.read(data), protocol=of_profile(profile), missing=missing, over=over))
    if task is not None and task not in set(found["task"]):
        raise unknown(kind="task", name=task, known=sorted(set(found["task"])), parameter="task")
    return found if task is None else found[found["task"] == task].reset_index(drop=True)


def differences(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    baseline: str,
    profile: str = "clean",
    missing: str = "keep",
    over: str = "auto",
) -> pd.DataFrame:
    """Every method against a baseline, in the leading number of each task.

    Over data sets the comparison is paired: what makes a data set hard is hard for both, and cancels. Over seeds it is
    Welch's: two methods draw different numbers from the same seed.

    Parameters
    ----------
    data
        As for :func:`scores`.
    baseline
        Name of a line of the table, e.g. ``"pca"``, also a control.
    profile, missing, over
        As for :func:`summary`.

    Returns
    -------
    Frame with the columns ``task, metric, method, baseline, difference, low, high`` (95 % interval of one difference)``,
    p`` (adjusted for the number of methods)``, wins, runs`` (of so many runs with the same data and seed).

    Raises
    ------
    InputError
        If `data` holds no table of scores, or `profile`, `missing` or `over` does not exist.
    KeyNotFoundError
        If `baseline` is not in the table.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> scores = ssl.tl.evaluate(adata, use_rep="X_pca", batch_key="batch", label_key="cell_type")
    >>> gain = ssl.get.differences(scores, baseline="random")
    >>> bool((gain["difference"] > 0).all())
    True
    """
    table = board(scored.read(data), protocol=of_profile(profile), missing=missing, over=over)
    return comparisons.differences(table, baseline)


def flips(data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str], *, profile: str = "paper") -> pd.DataFrame:
    """Pairs of methods whose order depends on whether a third one is in the table.

    A number that is scaled to the minimum and maximum over the methods, as the published totals are, changes with the
    company it keeps. Raw totals do not: with ``profile="clean"`` the result is empty.

    Parameters
    ----------
    data
        As for :func:`scores`.
    profile
        As for :func:`scores`.

    Returns
    -------
    Frame with the columns ``better, worse`` (as they stand in the full table) and ``without``: who has to leave for
    them to change places.

    Raises
    ------
    InputError
        If `data` holds no table of scores, or the profile does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> scores = ssl.tl.evaluate(adata, use_rep="X_pca", batch_key="batch", label_key="cell_type")
    >>> len(ssl.get.flips(scores))
    0
    """
    return comparisons.flips(scored.read(data), protocol=of_profile(profile))


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


def _scaled_rows(table: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Rows as the protocol scales them: whatever is the same for a whole run is kept, the rest has its default."""
    table = statistics.identified(table)
    runs = statistics.per_run(table, protocol=protocol)
    place = ["data_id", "method", "config_id", "seed"]
    about = [*place, "data", "n_obs", "fit_s", "embed_s", "peak_mb", "device", "version", "created"]
    runs = runs.merge(table[about].drop_duplicates(place), on=place, how="left")
    meaning = table[["task", "metric", "better", "main"]].drop_duplicates(["task", "metric"])
    runs = runs.merge(meaning, on=["task", "metric"], how="left").fillna({"better": "higher"})
    runs = runs.assign(main=runs["main"].eq(other=True), n_obs=runs["n_obs"].fillna(0))
    runs["status"] = runs["status"].replace(statistics.MISSING, _results.FAILED)
    return _results.conform(runs)


def _text(mean: pd.DataFrame, wide: pd.DataFrame) -> pd.DataFrame:
    """``0.71 ± 0.02`` per number."""
    columns = {}
    for name in mean:
        pairs = zip(mean[name], wide[name], strict=True)
        columns[name] = ["–" if pd.isna(m) else f"{m:.2f}" if pd.isna(s) else f"{m:.2f} ± {s:.2f}" for m, s in pairs]
    return pd.DataFrame(columns, index=mean.index)
