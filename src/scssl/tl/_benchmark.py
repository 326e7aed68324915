"""``benchmark``: methods compared on the user's own data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scssl import _keys, _results, _settings
from scssl.bench.plan import EACH
from scssl.bench.plan import plan as make_plan
from scssl.bench.runner import run
from scssl.data.identity import data_id
from scssl.methods._fit import Request
from scssl.tasks._cells import Cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


def benchmark(
    data: AnnData | MuData,
    *,
    methods: Sequence[str] | Mapping[str, Mapping[str, Any]],
    batch_key: str | None = None,
    label_key: str | None = None,
    tasks: Sequence[str] | None = None,
    seeds: int | Sequence[int] = 1,
    split_key: str | None = None,
    held_out: str | Sequence[str] = EACH,
    layer: str | None = None,
    accelerator: str = "auto",
    name: str = "",
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
        ``{"simclr": {}, "simclr cold": {"method": "simclr", "temperature": 0.1}}``.
    batch_key
        Column of ``obs`` with the batch.
    label_key
        Column of ``obs`` with the cell type. Methods never see it.
    tasks
        Names of tasks; by default all whose columns are given.
    seeds
        Number of repeats, or a list of seeds.
    split_key
        Column of ``obs`` made by :func:`scssl.pp.split`: its query cells are held out.
    held_out
        Without `split_key`: ``"each"`` holds every batch out in turn, a list of batches only these.
    layer
        Layer to read; ``X`` by default.
    accelerator
        Where to train, see :func:`scssl.tl.fit`.
    name
        Name of the data in the table.
    progress
        Show a progress bar; by default as ``settings.progress`` says.

    Returns
    -------
    pandas.DataFrame
        One number a row, with the controls ``random`` and ``oracle``. A method that fails has rows with the status
        ``failed`` and the reason; the others go on. Slots written:

        - ``.uns["scssl"]["scores"]``: the same rows, beside those of earlier calls

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
    plan = make_plan(
        data,
        methods=methods,
        tasks=tasks,
        seeds=seeds,
        batch_key=batch_key,
        label_key=label_key,
        split_key=split_key,
        held_out=held_out,
    )
    plan = replace(plan, data_id=data_id(data, layer=layer, columns=(batch_key, label_key)))
    cells = Cells.of(data, batch_key=batch_key, label_key=label_key, layer=layer)
    common = {"data": name or "data", "data_id": plan.data_id, "n_obs": data.n_obs}
    base = Request(method="", layer=layer, batch_key=batch_key, accelerator=accelerator, progress=False)
    with _settings.settings.override(verbosity=min(int(_settings.settings.verbosity), 1)):
        table = run(plan, data, cells, common=common, base=base, progress=progress)
    _results.keep(data, table)
    _settings.wrote(f".uns['{_keys.UNS}']['{_keys.SCORES}'] ({len(table)} rows)")
    return table
