from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys, _random, _settings
from scssl._errors import InputError, KeyNotFoundError
from scssl._validate import columns, config, enforce, names, objects
from scssl._words import listed, nearest
from scssl.data.columns import as_text, column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data
    from scssl._validate import Problem


def split(
    data: AnnData | MuData,
    *,
    by: str | None,
    held_out: str | Sequence[str] | None = None,
    fraction: float | None = None,
    seed: int = 0,
    key_added: str = _keys.SPLIT,
) -> None:
    """Divide the cells into ``reference`` and ``query``, by group or at random.

    What is learnt from the reference and tested on the query is only as honest as the split: cells of one donor or batch
    resemble each other, so hold out whole groups if the question is how a method does on a new one.

    Parameters
    ----------
    data
        AnnData or MuData.
    by
        Column of ``obs`` whose groups stay together (donor, batch, study); ``None`` draws single cells.
    held_out
        The group or groups that become the query.
    fraction
        Share of the groups (of the cells, if `by` is ``None``) to draw as the query; at least one, never all.
    seed
        Of the draw. A cell that is drawn is drawn wherever it stands in the object.
    key_added
        Name of the column to write.

    Returns
    -------
    None
        Slots written:

        - ``.obs[key_added]``: categorical, ``reference`` or ``query``

    Raises
    ------
    InputError
        If nothing or everything would be held out, or `key_added` is a column that holds something else.
    KeyNotFoundError
        If `by` or a group of `held_out` does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.split(adata, by="batch", held_out="batch3")
    >>> int((adata.obs["split"] == "query").sum())
    233
    """
    enforce(_problems(data, by, seed, key_added))
    _one_of(held_out, fraction, by)
    if by is None:
        query = _drawn(np.asarray(data.obs_names, dtype=str), fraction, seed)
    else:
        groups = as_text(column(data, by, parameter="by")).to_numpy()
        names_of_groups = np.unique(groups)
        chosen = _named(held_out, names_of_groups, by) if fraction is None else None
        if chosen is None:
            chosen = names_of_groups[_drawn(names_of_groups, fraction, seed)]
        query = np.isin(groups, chosen)
    values = np.where(query, _keys.QUERY, _keys.REFERENCE)
    data.obs[key_added] = pd.Categorical(values, categories=[_keys.REFERENCE, _keys.QUERY])
    _settings.wrote(f".obs[{key_added!r}]")
    _settings.info(f"    {int(query.sum())} of {len(query)} cells are held out")


def _problems(data: Data, by: str | None, seed: int, key_added: str) -> Iterator[Problem]:
    yield from objects.container(data)
    yield from config.seed(seed)
    yield from names.key(key_added, parameter="key_added")
    if by is not None:
        yield from columns.batch(data, by, parameter="by")
    if key_added in data.obs and not set(data.obs[key_added].unique()) <= {_keys.REFERENCE, _keys.QUERY}:
        yield names.taken(f"obs[{key_added!r}]", key_added, parameter="key_added")


def _one_of(held_out: object, fraction: float | None, by: str | None) -> None:
    if (held_out is None) == (fraction is None):
        given = "neither" if held_out is None else "both"
        msg = f"held_out and fraction exclude each other, {given} of them was given."
        raise InputError(msg, code="one_of_two", parameter="held_out", fix="Pass one of them, e.g. fraction=0.2.")
    if by is None and held_out is not None:
        msg = f"held_out={held_out!r} names groups, and by=None says that there are none."
        raise InputError(msg, code="one_of_two", parameter="by", fix="Pass by=, the column of the groups.")
    number = isinstance(fraction, int | float | np.number) and not isinstance(fraction, bool)
    if fraction is not None and not (number and 0 < fraction < 1):
        msg = f"fraction={fraction!r} is not between 0 and 1."
        raise InputError(msg, code="out_of_range", parameter="fraction", fix="Pass e.g. fraction=0.2.")


def _named(held_out: Any, groups: np.ndarray, by: str) -> np.ndarray:
    wanted = [str(held_out)] if isinstance(held_out, str) or np.isscalar(held_out) else [str(name) for name in held_out]
    for name in wanted:
        if name not in groups:
            msg = f"held_out names {name!r}, which obs[{by!r}] does not have; it has {listed(groups.tolist())}."
            fix = nearest(name, groups.tolist())
            raise KeyNotFoundError(msg, code="unknown_group", parameter="held_out", fix=fix)
    if not wanted or len(set(wanted)) == len(groups):
        share = "none" if not wanted else "all"
        msg = f"held_out names {share} of the {len(groups)} groups of obs[{by!r}]; reference and query both need cells."
        raise InputError(msg, code="empty_split", parameter="held_out", fix="Name some of them.")
    return np.array(wanted)


def _drawn(items: np.ndarray, fraction: float | None, seed: int) -> np.ndarray:
    """Boolean mask of the items that are drawn; depends on their names, not on their order."""
    if len(items) < 2:
        msg = f"There is {len(items)} group or cell; reference and query both need one."
        raise InputError(msg, code="empty_split", parameter="by", fix="Pass a column with several groups.")
    hashes = pd.util.hash_array(items.astype(object))
    order = np.lexsort((hashes, _random.noise(hashes, 1, _random.derive(seed, "split"))[:, 0]))
    n = min(max(round(float(fraction or 0) * len(items)), 1), len(items) - 1)
    mask = np.zeros(len(items), dtype=bool)
    mask[order[:n]] = True
    return mask
