from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from scssl import _keys
from scssl._errors import KeyNotFoundError
from scssl._parts import multimodal, parts
from scssl._registry import METHODS
from scssl._validate import ERROR, Problem, columns, matrix, names, objects, sizes
from scssl._validate.places import groups
from scssl.data.container import counts_layer, told_of
from scssl.data.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData

COLUMNS = ["code", "severity", "parameter", "message", "fix"]


def check(
    data: AnnData | MuData,
    *,
    method: str | None = None,
    layer: str | None = None,
    batch_key: str | None = None,
    label_key: str | None = None,
) -> pd.DataFrame:
    """Everything that is wrong with an object, at once; nothing is changed.

    The checks are those that :func:`scssl.tl.fit` and the others make before they start. These stop at the first
    error; here all of them are listed.

    Parameters
    ----------
    data
        AnnData or MuData; a backed one is read by blocks.
    method
        Name of the method that is to be used: the values are checked for the scale that it expects.
    layer
        Layer to check, ``X`` by default.
    batch_key
        Column of ``obs`` that names the batch of each cell.
    label_key
        Column of ``obs`` that names the type of each cell.

    Returns
    -------
    pandas.DataFrame
        One row a problem, errors first: ``code``, ``severity`` (``error`` or ``warning``), ``parameter`` (the argument at
        fault), ``message``, ``fix``. Empty if all is well.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> list(ssl.pp.check(adata, method="simclr", batch_key="batch")["code"])
    ['unknown_batch_key', 'looks_like_counts']
    """
    found = list(objects.container(data))
    if not any(problem.severity == ERROR for problem in found):
        found += _all(data, method=method, layer=layer, batch_key=batch_key, label_key=label_key)
    found.sort(key=lambda problem: problem.severity != ERROR)
    rows = [{name: asdict(problem)[name] for name in COLUMNS} for problem in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def _all(
    data: object, *, method: str | None, layer: str | None, batch_key: str | None, label_key: str | None
) -> Iterator[Problem]:
    values = None
    if method is not None:
        try:
            values = METHODS.describe(method).values
        except KeyNotFoundError as error:
            yield Problem(error.code, "method", error.message, error.fix, missing=True)
        else:
            yield from names.key_added(data, method)
    if batch_key is not None:
        yield from columns.batch(data, batch_key)
    if label_key is not None:
        yield from columns.label(data, label_key, batch_key)
    if multimodal(data):
        yield from objects.overlap(data)
    for name, part in parts(data).items():
        kind = kind_of(name or _keys.DEFAULT_MODALITY).name
        aim = matrix.Aim(kind, groups(data, batch_key, part.obs_names))
        yield from told_of(data, name, _part(part, layer, values, aim))


def _part(adata: object, layer: str | None, values: str | None, aim: matrix.Aim) -> Iterator[Problem]:
    layer = counts_layer(adata, layer) if values == matrix.COUNTS else layer
    expects = matrix.expected(values, aim.kind) if values is not None else None
    yield from sizes.sizes(adata)
    yield from names.names(adata)
    yield from matrix.matrix(adata, layer=layer, expects=expects, genes=_keys.HIGHLY_VARIABLE, aim=aim)
