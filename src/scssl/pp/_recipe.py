from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

import scssl
from scssl import _clock, _keys, _settings
from scssl._errors import InputError, warn
from scssl._parts import modalities, multimodal, parts
from scssl._parts import part as part_of
from scssl._validate import ERROR, WARNING, Problem, columns, enforce, matrix, names, objects, sizes
from scssl._validate.places import groups
from scssl._words import listed, nearest
from scssl._written import free, put
from scssl.data import recipe as recipes
from scssl.data.columns import as_text, column
from scssl.data.container import copied, told_of
from scssl.data.kinds import PROTEIN, RNA, Kind, kind_of
from scssl.data.matrix import by_blocks, csr, handed_out, values
from scssl.pp._like import Like, like_of, written_to
from scssl.pp._reference import reference_mask

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data, Json
    from scssl.models.model import Model


@dataclass(frozen=True)
class _Plan:
    """What was asked for."""

    n_top_genes: int | None
    flavor: str
    target_sum: float | None
    layer: str | None
    batch_key: str | None
    overwrite: bool
    like: Like | None = None


@dataclass(frozen=True)
class _Prepared:
    """What will be written to one AnnData; made for all modalities before anything is written."""

    counts: Any
    x: Any
    selected: np.ndarray | None
    """Genes to mark; ``None``: they are those of a model."""
    record: dict[str, Any]


def recipe(
    data: AnnData | MuData,
    *,
    batch_key: str | None = None,
    n_top_genes: int | None = 2000,
    flavor: str = "seurat",
    target_sum: float | None = 1e4,
    layer: str | None = None,
    reference: str | Sequence[bool] | np.ndarray | pd.Series | None = None,
    like: Model | str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | MuData | None:
    """From counts to what methods take: counts kept in a layer, values log-normalised, variable genes marked.

    Parameters
    ----------
    data
        AnnData with counts of RNA, or MuData whose modalities are called ``rna``, ``prot`` (``protein``, ``adt``) or
        ``atac``. Modalities of other names are left as they are, with a warning.
    batch_key
        Column of ``obs``: genes are chosen that vary within most batches.
    n_top_genes
        Number of genes (and peaks) to mark; all of them if there are no more, or with ``None``. Ties may add a few.
        Nothing is removed.
    flavor
        How genes are ranked: ``"seurat"``, ``"cell_ranger"``, ``"seurat_v3"``, as in
        :func:`scanpy.pp.highly_variable_genes`.
    target_sum
        Total of every cell before the logarithm; ``None``: the median of the totals.
    layer
        Layer that holds the counts; ``X`` by default. Corrected counts with fractions are accepted with a warning.
    reference
        Cells on which genes are chosen (and the weights of ATAC peaks are taken): a boolean mask, or the name of a column
        of ``obs`` that is boolean or was made by :func:`scssl.pp.split`. The other cells have no influence on the choice,
        so that they can serve as a test. All cells by default.
    like
        A trained model, or its folder: values are made on the scale that it was trained on, where it reads them (its total
        and base of the logarithm, its layer). No genes are marked, for it knows its own; `target_sum`, `n_top_genes` and
        `flavor` have no influence.
    overwrite
        Whether a choice of genes in ``var["highly_variable"]`` and a layer ``counts`` of other values may be replaced
        that the recipe did not write.
    copy
        Return a changed copy and leave `data` as it is.

    Returns
    -------
    AnnData, MuData or None
        With ``copy=True`` the changed copy. Slots written, for a MuData in each modality:

        - ``.layers["counts"]``: the counts
        - ``.X``: log-normalised values, float32; dense if the counts are, else CSR. RNA: natural log of 1 + counts scaled to `target_sum` per cell. Protein:
          centred log ratio per cell :cite:p:`stoeckius2017simultaneous`. ATAC: logged TF-IDF :cite:p:`stuart2021single`
        - ``.var["highly_variable"]``: boolean; variable genes :cite:p:`satija2015spatial`, most frequent peaks, all
          proteins
        - ``.uns["log1p"]``: for RNA, as scanpy writes it
        - ``.uns["scssl"]["recipe"]``: what was done, as JSON text

    Raises
    ------
    InputError
        If there are no counts where they should be: the message says what the values look like and where to look. If
        something of the user would be replaced. Also for backed objects, whose file would have to be rewritten.
    KeyNotFoundError
        If a layer or column does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch", n_top_genes=500)
    >>> int(adata.var["highly_variable"].sum())
    500
    """
    plan = _Plan(n_top_genes, flavor, target_sum, layer, batch_key, overwrite)
    enforce(problem for problem in (*_arguments(plan), *_object(data)) if problem.severity == ERROR)
    if like is not None:
        made = like_of(data, like)
        plan = replace(plan, like=made, target_sum=made.target_sum)
    known, parts = reference_mask(data, reference), _parts(data)
    notes = enforce(_problems(data, parts, plan))
    with np.errstate(over="ignore"):  # refused in words
        prepared = {name: _prepare(data, (name, part), plan, known) for name, part in parts.items()}
    target = copied(data) if copy else data
    _write(target, prepared, notes, plan.like)
    return target if copy else None


def _arguments(plan: _Plan) -> Iterator[Problem]:
    n, total = plan.n_top_genes, plan.target_sum
    if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
        message = f"n_top_genes={n!r} is not a whole number of at least 1."
        yield Problem("out_of_range", "n_top_genes", message, "Pass e.g. n_top_genes=2000, or None for all genes.")
    number = isinstance(total, int | float | np.number) and not isinstance(total, bool)
    if total is not None and not (number and 0 < total < np.inf):
        message = f"target_sum={total!r} is not a number above 0."
        yield Problem("out_of_range", "target_sum", message, "Pass e.g. target_sum=1e4.")
    if plan.flavor not in recipes.FLAVORS:
        message = f"flavor={plan.flavor!r} is not one of {listed(list(recipes.FLAVORS))}."
        fix = nearest(plan.flavor, list(recipes.FLAVORS))
        yield Problem("unknown_flavor", "flavor", message, fix)


def _object(data: Data) -> Iterator[Problem]:
    yield from objects.container(data)
    if getattr(data, "isbacked", False):
        message = f"The object is backed by the file {str(data.filename)!r}, whose matrix would have to be rewritten."
        yield Problem("backed", "data", message, "Load it first: adata = adata.to_memory().")
    if multimodal(data):
        if data.is_view:
            message = "The MuData is a view of another one, which the recipe would have to change."
            yield Problem("mudata_view", "data", message, "Copy it first: mdata = mdata.copy().")
        other = [name for name in modalities(data) if not kind_of(name).name]
        known = "rna, prot (protein, adt), atac"
        if len(other) == len(data.mod):
            message = f"None of the modalities {listed(other)} is known by its name."
            yield Problem("unknown_modality", "data", message, f"Name them {known}.")
        elif other:
            message = f"Modalities {listed(other)} are left as they are; the recipe knows {known}."
            yield Problem("modality_left_alone", "data", message, severity=WARNING)


def _parts(data: object) -> Json:
    """The AnnData of each modality with a known name; an AnnData is RNA."""
    if not multimodal(data):
        return {RNA.name: data}
    return {name: part for name, part in parts(data).items() if kind_of(name).name}


def _problems(data: object, parts: Json, plan: _Plan) -> Iterator[Problem]:
    """What is wrong with the values and columns; messages about a modality begin with its name."""
    yield from _object(data)
    for name, part in parts.items():
        yield from told_of(data, name, _problems_of(data, part, kind_of(name), plan))
    if plan.batch_key is not None:
        yield from columns.batch(data, plan.batch_key)


def _problems_of(data: Data, adata: AnnData, kind: Kind, plan: _Plan) -> Iterator[Problem]:
    yield from sizes.sizes(adata)
    yield from names.names(adata)
    aim = matrix.Aim(kind.name, groups(data, plan.batch_key, adata.obs_names))
    for problem in matrix.matrix(adata, layer=plan.layer, expects=matrix.COUNTS, aim=aim):
        if problem.code == "empty_cells" and not kind.of_genes:
            yield replace(problem, severity=WARNING, fix="They stay zero.")
        elif problem.code == "looks_log_normalised":
            yield _no_counts(adata, problem, plan)
        else:
            yield problem
    occupied = _keys.COUNTS_LAYER in adata.layers and plan.layer != _keys.COUNTS_LAYER and not plan.overwrite
    if occupied and not _equal(adata, plan.layer, _keys.COUNTS_LAYER):
        message = f"layers['counts'] exists and holds other values than {_place(plan)}; it would be replaced."
        fix = "Pass layer='counts' to start from it, or overwrite=True."
        yield Problem("counts_layer_exists", "layer", message, fix)
    if _keys.HIGHLY_VARIABLE in adata.var and plan.like is None:
        yield from _own_genes(adata, plan)


def _own_genes(adata: AnnData, plan: _Plan) -> Iterator[Problem]:
    """The user's choice of genes is not replaced by ours unasked."""
    for problem in free(adata, "var", [_keys.HIGHLY_VARIABLE], "", overwrite=plan.overwrite):
        whose = problem.message.partition(";")[0]
        message = f"{whose}; the recipe would replace the choice of {int(adata.var[_keys.HIGHLY_VARIABLE].isin([True]).sum())} genes."
        fix = "Pass overwrite=True, or keep it under another name: adata.var['my_genes'] = adata.var.pop('highly_variable')."
        yield replace(problem, code="genes_chosen", parameter="data", message=message, fix=fix)


def _no_counts(adata: AnnData, problem: Problem, plan: _Plan) -> Problem:
    """The one confusion that happens to everybody, in the words for where it happened."""
    done = _keys.RECIPE in _keys.peek(adata)
    again = f"{problem.message} The recipe starts from counts"
    if _keys.COUNTS_LAYER in adata.layers and plan.layer != _keys.COUNTS_LAYER:
        before = ", and it was run on this object before" if done else ""
        fix = "Pass layer='counts' to run it on the counts that are kept there."
        return replace(problem, code="recipe_was_run" if done else problem.code, message=f"{again}{before}.", fix=fix)
    fix = (
        "If the object has counts elsewhere, pass layer= (or adata = adata.raw.to_adata() if raw holds them). If not, skip "
        "the recipe: ssl.tl.fit(adata, ...) takes log-normalised values as they are."
    )
    there = listed(_keys.layers(adata))
    return replace(problem, message=f"{again}, and {_place(plan)} holds none (layers: {there}).", fix=fix)


def _place(plan: _Plan) -> str:
    return "X" if plan.layer is None else f"layers[{plan.layer!r}]"


def _equal(adata: object, one: str | None, other: str | None) -> bool:
    """Whether two matrices of an object hold the same values, whatever they are stored as."""
    pairs = zip(by_blocks(adata, one), by_blocks(adata, other), strict=True)
    return all((a != b).nnz == 0 for a, b in pairs)


def _prepare(data: Data, named: tuple[str, AnnData], plan: _Plan, known: pd.Series | None) -> _Prepared:
    """Compute everything for one modality; nothing is written."""
    name, adata = named
    counts = csr(adata, layer=plan.layer)
    mask = None if known is None else known.reindex(adata.obs_names).to_numpy(dtype=bool)
    if mask is not None and mask.sum() < 2:
        msg = f"reference marks {int(mask.sum())} of the {adata.n_obs} cells of {name!r}; at least 2 are needed."
        raise InputError(msg, code="no_reference", parameter="reference")
    batch = None
    if plan.batch_key is not None:
        batch = as_text(column(data, plan.batch_key, parameter="batch_key").reindex(adata.obs_names)).to_numpy()
    kind = kind_of(name)
    x = _values(kind, counts, plan, mask)
    selected = None if plan.like is not None else _selected(kind, counts, x, plan, (batch, mask))
    _refuse_lost(counts, x, name, plan)
    stored = values(adata, plan.layer)
    # dense stays dense; of what is sparse, or read chunk by chunk, nothing of the full size ever is
    made = x.toarray() if isinstance(stored, np.ndarray) else x if isinstance(stored, sp.sparray) else handed_out(x)
    return _Prepared(stored.copy(), made, selected, _record(kind, plan, mask, selected, counts))


def _values(kind: Kind, counts: sp.csr_array, plan: _Plan, mask: np.ndarray | None) -> sp.csr_array:
    """The values that methods read."""
    if kind is PROTEIN:
        return recipes.clr(counts)
    return _scaled(counts, plan) if kind is RNA else recipes.tf_idf(counts, reference=mask)


def _selected(
    kind: Kind, counts: sp.csr_array, x: sp.csr_array, plan: _Plan, cells: tuple[np.ndarray | None, np.ndarray | None]
) -> np.ndarray:
    """Features to mark; `cells`: their batch, and those to look at."""
    batch, mask = cells
    if kind is RNA:
        ranked = counts if plan.flavor in recipes.COUNT_FLAVORS else x
        return recipes.select_genes(ranked, plan.n_top_genes, batch=batch, flavor=plan.flavor, reference=mask)
    if kind is PROTEIN:
        return np.ones(counts.shape[1], dtype=bool)
    return recipes.most_frequent(counts, plan.n_top_genes, reference=mask)


def _scaled(counts: sp.csr_array, plan: _Plan) -> sp.csr_array:
    """Logarithms of scaled counts, of the base that a model reads."""
    x = recipes.normalize(counts, plan.target_sum)
    if plan.like is not None and plan.like.divisor != 1:
        x.data /= np.float32(plan.like.divisor)
    return x


def _total(counts: sp.csr_array, target_sum: float | None) -> float:
    """Total of every cell before the logarithm, also where it is the median of these cells."""
    if target_sum is not None:
        return float(target_sum)
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    return float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0


def _refuse_lost(counts: sp.csr_array, x: sp.csr_array, name: str, plan: _Plan) -> None:
    """Counts that float32 holds may leave its range on the new scale."""
    bad = int((~np.isfinite(x.data)).sum())
    gone = max(int(counts.nnz - (x.data > 0).sum()), 0) if not kind_of(name).of_peaks else 0
    if bad or gone:
        high = float(counts.data.max())
        msg = f"{bad} values would become infinite and {gone} zero (counts up to {high:.4g}, target_sum={plan.target_sum!r})."
        fix = "Look at the largest counts, or pass a target_sum near 1e4."
        raise InputError(msg, code="beyond_float32", parameter="target_sum", fix=fix)


def _record(
    kind: Kind, plan: _Plan, mask: np.ndarray | None, selected: np.ndarray | None, counts: sp.csr_array
) -> Json:
    return {
        "kind": kind.name,
        "layer": plan.layer,
        "target_sum": plan.target_sum if kind is RNA else None,
        "total": _total(counts, plan.target_sum) if kind is RNA else None,
        "n_top_genes": plan.n_top_genes,
        "n_selected": None if selected is None else int(selected.sum()),
        "flavor": plan.flavor if kind is RNA else None,
        "batch_key": plan.batch_key if kind is RNA else None,
        "n_reference": None if mask is None else int(mask.sum()),
        "version": scssl.__version__,
        "created": _clock.now(),
    }


def _write(target: Data, prepared: dict[str, _Prepared], notes: list[str], like: Like | None) -> None:
    layer = written_to(like)
    for name, part in prepared.items():
        adata = part_of(target, name)
        was_view = adata.is_view
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's own word on views; ours follows
            adata.layers[_keys.COUNTS_LAYER] = part.counts  # first: this makes a view an object of its own
        if layer is None:
            adata.X = part.x
        else:
            adata.layers[layer] = part.x
        if part.selected is not None:
            put(adata, "var", _keys.HIGHLY_VARIABLE, part.selected)
        if part.record["kind"] == RNA.name and layer is None:
            divisor = 1.0 if like is None else like.divisor
            adata.uns["log1p"] = {"base": None if divisor == 1 else round(float(np.exp(divisor)))}
        _keys.store(adata)[_keys.RECIPE] = json.dumps({**part.record, "warnings": notes}, sort_keys=True)
        if was_view:
            warn("The object was a view; it is an object of its own now, the one it was taken from is as before.")
    where = f" of {listed(list(prepared))}" if multimodal(target) else ""
    chosen = ", ".join(
        f"{int(part.selected.sum())} of {len(part.selected)}" for part in prepared.values() if part.selected is not None
    )
    marked = f".var['highly_variable'] ({chosen} features){where}" if chosen else ""
    _settings.wrote(
        ".layers['counts']", ".X" if layer is None else f".layers[{layer!r}]", *([marked] if marked else [])
    )
    if multimodal(target):
        records = {name: part.record for name, part in prepared.items()}
        _keys.store(target)[_keys.RECIPE] = json.dumps({**records, "warnings": notes}, sort_keys=True)
