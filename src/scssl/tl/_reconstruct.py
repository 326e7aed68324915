"""``reconstruct``: values that an embedding still holds."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from scssl import _keys, _settings
from scssl._parts import multimodal
from scssl._parts import part as part_of
from scssl._validate import Problem, enforce
from scssl._validate.names import key as check_key
from scssl._words import listed, nearest
from scssl._written import free, put
from scssl.tl._given import cells_of, is_file, table
from scssl.tl._pair import model_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scssl.models.model import Model


def reconstruct(
    data: AnnData | MuData | str | os.PathLike[str],
    model: Model | str | os.PathLike[str],
    *,
    layer: str | None = None,
    modality: str | None = None,
    key_added: str | None = None,
    overwrite: bool = False,
    batch_size: int | None = None,
) -> pd.DataFrame | None:
    """Write the values that a model reconstructs from the embedding of each cell: what it keeps, without the noise.

    Parameters
    ----------
    data
        AnnData or MuData: any cells, genes in any order; or the path of an h5ad, zarr or h5mu file (read by blocks; nothing
        is written to it).
    model
        What :func:`scssl.tl.fit` returned, or the folder of a saved model; its method must decode, see the column
        ``decodes`` of ``tl.methods(full=True)``.
    layer
        Layer to read; by default the one the model was trained on.
    modality
        Reconstruct this modality of a MuData; by default all of the model. Of an AnnData: the modality that it holds, of a
        model of several.
    key_added
        The layer is called ``<key_added>_reconstructed``; the name of the method by default.
    overwrite
        Whether a layer of this name may be replaced if `reconstruct` did not write it.
    batch_size
        Cells at a time; has no influence on the result.

    Returns
    -------
    None, or of a path a pandas.DataFrame
        The values of a file are returned, cells by features of the model. Slots written to an object in memory (for a MuData,
        to each modality):

        - ``.layers["<key>_reconstructed"]``: float32 of the shape of ``X``; NaN for genes that the model does not use

    Raises
    ------
    InputError
        If the method does not decode, the data cannot be used, or the layer holds something else. The object is as before.
    KeyNotFoundError
        If the modality does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> ssl.pp.recipe(adata)
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> ssl.tl.reconstruct(adata, model)
    >>> adata.layers["pca_reconstructed"].shape == adata.shape
    True
    """
    from scssl.models.answers import aligned, decoded

    model = model_of(model)
    key = model.method if key_added is None else key_added
    enforce(check_key(key, parameter="key_added"))
    if modality is not None and modality not in model.features:
        known = list(model.features)
        message = f"modality={modality!r} is not one of the model, which has {listed(known)}."
        enforce([Problem("unknown_modality", "modality", message, nearest(modality, known), missing=True)])
    names = list(model.features) if modality is None else [modality]
    with ExitStack() as until:
        cells = cells_of(data, until)
        if is_file(data):
            enforce(_one_table(names))
        alone = None if multimodal(cells) else modality
        values = decoded(model, cells, layer=layer, modality=alone, batch_size=batch_size)
        if is_file(data):
            return table(values[names[0]], cells.obs_names, model.features[names[0]])
    parts = {name: part_of(cells, name) for name in names}
    for part in parts.values():
        enforce(free(part, "layers", [_keys.reconstructed(key)], key, overwrite=overwrite))
    made = {}
    for name, part in parts.items():
        rows = cells.obs_names.get_indexer(part.obs_names)
        made[name] = aligned(values[name][rows], model.features[name], part.var_names)
    for name, part in parts.items():
        put(part, "layers", _keys.reconstructed(key), made[name])
    _settings.wrote(f".layers['{_keys.reconstructed(key)}']")
    return None


def _one_table(names: list[str]) -> Iterator[Problem]:
    """What is returned is one table."""
    if len(names) > 1:
        message = f"The model reconstructs {listed(names)}; of a file one of them is returned."
        yield Problem("needs_modality", "modality", message, f"Say which one, e.g. modality={names[0]!r}.")
