"""``benchmark``: methods compared on the user's own data."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from scssl import _keys, _settings
from scssl._parts import parts
from scssl._validate import enforce
from scssl._validate.arguments import named as are_names
from scssl._validate.arguments import one_of, positive
from scssl._validate.arguments import text as is_text
from scssl._validate.matrix import there
from scssl._validate.objects import container
from scssl._validate.paths import target
from scssl.bench.plan import plan as make_plan
from scssl.bench.runner import run
from scssl.bench.split import EACH
from scssl.data import scored

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data, Facts
    from scssl._validate import Problem

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")


def benchmark(
    data: AnnData | MuData,
    *,
    methods: Sequence[str] | Mapping[str, Facts] = (),
    batch_key: str | None = None,
    label_key: str | None = None,
    tasks: Sequence[str] | None = None,
    seeds: int | Sequence[int] = 1,
    split_key: str | None = None,
    held_out: str | Sequence[str] = EACH,
    embeddings: Sequence[str] = (),
    target: str | None = None,
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
) -> pd.DataFrame:
    """Train methods on the cells, score them on tasks, beside controls.

    For tasks that integrate what is there, a model sees all cells. For tasks that ask about unseen cells
    (``cell_typing``), genes are chosen and models are trained without the cells that are held out.

    Parameters
    ----------
    data
        AnnData or MuData with log-normalised values, as :func:`scssl.pp.recipe` makes them.
    methods
        Names of methods, or lines of the table by name:
        ``{"simclr": {}, "simclr cold": {"method": "simclr", "temperature": 0.1}}``. With ``"finetune": "all"`` (or ``"head"``,
        ``"last"``, or a dictionary of the arguments of :func:`finetune`) a model then learns the labels of the cells it
        is trained on, and its own labels of held-out cells are scored too, group ``head``; for ``tasks=["cell_typing"]``.
    batch_key
        Column of ``obs`` with the batch.
    label_key
        Column of ``obs`` with the cell type. Methods never see it, but for lines that are fine-tuned: of cells that are not
        held out.
    tasks
        Names of tasks; by default all whose columns are given (``reconstruction`` has to be named).
    seeds
        Number of repeats, or a list of seeds.
    split_key
        Column of ``obs`` made by :func:`scssl.pp.split`: its query cells are held out.
    held_out
        Without `split_key`: ``"each"`` holds every batch out in turn, a list of batches only these.
    embeddings
        Slots of ``obsm`` to be scored beside the methods, whoever made them: ``["X_scvi", "X_harmony"]``.
    target
        Modality that is to be predicted from the others, for the task ``modality_prediction``: models are trained with it,
        and embed held-out cells without it.
    metrics
        Names of metrics, see :func:`scssl.tl.metrics`; by default those marked ``default``.
    unlabelled
        Values of `label_key` that mean that a cell has no label, e.g. ``["undefined", "nan"]``. Methods are trained on
        these cells too; they, and those without a value, are left out of scores that use labels, and counted in the
        message of the row.
    layer
        Layer to read; ``X`` by default.
    accelerator
        Where to train, see :func:`scssl.tl.fit`.
    name
        Name of the data in the table.
    cache_dir
        Folder that keeps every result as soon as it is there, with the embeddings and models, see
        :doc:`/concepts/benchmarks`. A call that was stopped, at whatever moment, continues there; several processes may
        share it. By default nothing is kept.
    policy
        ``"missing"``: compute what `cache_dir` does not hold, and try again what failed. ``"always"``: compute
        everything. ``"cached"``: compute nothing; what is absent has rows that say so.
    n_jobs
        Processes, ``-1`` for one per core. By default as ``joblib.parallel_config`` says, which may name a cluster, else
        ``settings.n_jobs``. Has no influence on the values.
    timeout
        Seconds for one model and its scores; what takes longer is stopped and has rows that say ``timeout``. Work is
        then done in a process of its own.
    progress
        Show a progress bar; by default as ``settings.progress`` says.

    Returns
    -------
    pandas.DataFrame
        One number a row, with the controls ``random`` and ``oracle``. A method that fails, dies or takes too long has
        rows with the status and the reason; the others go on. If the call is interrupted, what is done is written.
        Slots written:

        - ``.uns["scssl"]["scores"]``: the same rows, beside those of earlier calls
        - ``.uns["scssl"]["scored"]``: hashes of what they describe

    Raises
    ------
    InputError
        If a column cannot be used, before anything is trained.
    KeyNotFoundError
        If a method, task, or column does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch", n_top_genes=500)
    >>> scores = ssl.tl.benchmark(
    ...     adata, methods=["pca", "untrained"], batch_key="batch", label_key="cell_type", tasks=["cell_typing"]
    ... )
    >>> sorted(scores["method"].unique())
    ['oracle', 'pca', 'random', 'untrained']
    """
    enforce(_problems(data, methods, embeddings, layer=layer, accelerator=accelerator, cache_dir=cache_dir))
    enforce(chain(is_text(name, "name"), positive(timeout, "timeout", code="bad_timeout", example=600)))
    plan = make_plan(
        data,
        methods=methods,
        tasks=tasks,
        seeds=seeds,
        batch_key=batch_key,
        label_key=label_key,
        split_key=split_key,
        held_out=held_out,
        embeddings=embeddings,
        target=target,
        metrics=metrics,
        unlabelled=unlabelled,
        layer=layer,
        accelerator=accelerator,
        name=name,
        cache_dir="" if cache_dir is None else str(cache_dir),
    )
    keep = partial(scored.keep, data, columns=(batch_key, label_key), layer=layer)
    table = run(plan, data, policy=policy, n_jobs=n_jobs, timeout=timeout, progress=progress, keep=keep)
    keep(table)
    _settings.wrote(f".uns['{_keys.UNS}']['{_keys.SCORES}'] ({len(table)} rows)")
    return table


def _problems(
    data: Data,
    methods: object,
    embeddings: object,
    *,
    layer: str | None,
    accelerator: object,
    cache_dir: str | os.PathLike[str] | None,
) -> Iterator[Problem]:
    """What is wrong with the arguments that no configuration checks, before anything is trained."""
    yield from container(data)
    for value, parameter in ((methods, "methods"), (embeddings, "embeddings")):
        yield from (problem for problem in are_names(value, parameter) if problem.code == "wrong_type")
    yield from is_text(layer, "layer")
    for part in parts(data).values():
        if part.X is not None or layer is not None:
            yield from there(part, layer)
    yield from one_of(accelerator, "accelerator", ACCELERATORS)
    if cache_dir is not None:
        yield from target(cache_dir, parameter="cache_dir")
