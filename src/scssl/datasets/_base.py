"""What data sets share: checked sizes, the record of a simulation, batch effects of known size."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from scssl import _random, _sparse
from scssl._errors import InputError

if TYPE_CHECKING:
    from scssl._types import Json

SIMULATION = "simulation"  # slot of `uns`: JSON text that says what of a data set is simulated, and how


def record(what: str, **parameters: object) -> str:
    """The text for ``uns["simulation"]``: `what` is a phrase for captions, e.g. ``simulated batches``."""
    return json.dumps({"what": what, **parameters}, sort_keys=True)


def whole(value: Any, *, parameter: str, low: int, high: int | None = None) -> int:
    """A whole number in a range, or an error that says which range."""
    number = not isinstance(value, bool | np.bool_) and isinstance(value, int | np.integer)
    if not number or value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        msg = f"{parameter}={value!r} is not a whole number {limits}."
        raise InputError(msg, code="out_of_range", parameter=parameter, fix=f"Pass {parameter}={low} or more.")
    return int(value)


@dataclass(frozen=True)
class BatchEffect:
    """How much batches differ.

    Parameters
    ----------
    shallowest
        Depth of the last batch relative to the first; those between lie on a geometric line.
    gene_sigma
        Standard deviation of the natural log of the gene-wise factors, which differ from batch to batch.
    ambient
        Largest share of foreign RNA in a cell, relative to its own total; the first batch has none.
    """

    shallowest: float = 0.5
    gene_sigma: float = 0.5
    ambient: float = 0.1

    def apply(self, counts: sp.csr_array, batch: np.ndarray, *, seed: int) -> sp.csr_array:
        """Counts as they might have been measured in the batches with the codes `batch`."""
        codes = np.unique(batch)
        parts, order = [], []
        for code, depth, share in zip(codes, *self._levels(len(codes)), strict=True):
            rows = np.flatnonzero(batch == code)
            draw = _random.generator(seed, "batch effect", int(code))
            factors = depth * np.exp(draw.normal(0.0, self.gene_sigma, counts.shape[1]))
            measured = thin(counts[rows], factors, draw)
            parts.append(measured + _soup(measured, share, draw))
            order.append(rows)
        back = np.argsort(np.concatenate(order), kind="stable")
        whole_matrix = sp.vstack(parts, format="csr")[back].astype(np.float32)
        whole_matrix.sort_indices()
        return whole_matrix

    def parameters(self, n_batches: int) -> Json:
        """What was simulated, as plain values."""
        depths, shares = self._levels(n_batches)
        return {**asdict(self), "depths": depths.tolist(), "ambient_shares": shares.tolist()}

    def _levels(self, n_batches: int) -> tuple[np.ndarray, np.ndarray]:
        return np.geomspace(1.0, self.shallowest, n_batches), np.linspace(0.0, self.ambient, n_batches)


def thin(counts: sp.csr_array, factors: np.ndarray, draw: np.random.Generator) -> sp.csr_array:
    """Multiply the counts of each gene by a factor on average, and keep them whole.

    The fractional part of a factor is the probability of a binomial draw per molecule, its whole part copies molecules.
    """
    copies, chance = np.divmod(factors[counts.indices], 1.0)
    molecules = counts.data.astype(np.int64)
    values = molecules * copies.astype(np.int64) + draw.binomial(molecules, chance)
    thinned = _sparse.from_rows(values.astype(np.float32), counts.indices, counts.indptr, shape=counts.shape, copy=True)
    thinned.eliminate_zeros()
    return thinned


def _soup(counts: sp.csr_array, share: float, draw: np.random.Generator) -> sp.csr_array:
    """Ambient molecules: Poisson draws from the mean profile of the batch, `share` of the total of each cell."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    profile = np.asarray(counts.sum(axis=0)).ravel() / max(totals.sum(), 1.0)
    return sp.csr_array(draw.poisson(share * totals[:, None] * profile[None, :]), dtype=np.float32)


def stratified(labels: np.ndarray, n_parts: int, draw: np.random.Generator) -> np.ndarray:
    """A random part for each cell, so that every label is spread over the parts as evenly as it can be."""
    parts = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        cells = np.flatnonzero(labels == label)
        parts[cells] = (draw.permutation(len(cells)) + draw.integers(n_parts)) % n_parts
    return parts
