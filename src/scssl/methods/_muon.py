"""Factor analysis by muon, on a private object, in silence; and what it says of each modality."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl._errors import TrainingError
from scssl.data.calm import calm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import h5py
    import scipy.sparse as sp
    from mudata import MuData

    from scssl.data.cells import Cells

GROUP = "group1"  # muon's name of the only group of cells
KEPT = ["Z", "W", "Tau", "AlphaZ"]  # expectations that the factors of a cell follow from


@dataclass(frozen=True)
class View:
    """The linear model of one modality, in units of its values.

    Parameters
    ----------
    mean
        Intercept of each feature.
    precision
        Expected precision of the noise of each feature.
    weights
        Expected weights, shape ``(features, factors)``.
    squares
        For each factor the sum over the features of precision times expected squared weight.
    """

    mean: np.ndarray
    precision: np.ndarray
    weights: np.ndarray
    squares: np.ndarray

    @property
    def curvature(self) -> np.ndarray:
        """Precision of the factors of a cell that its values give, shape ``(factors, factors)``."""
        matrix = (self.weights.T * self.precision) @ self.weights
        np.fill_diagonal(matrix, self.squares)
        return matrix

    def evidence(self, x: sp.csr_array) -> np.ndarray:
        """Deviations from the mean, weighed by precision and weights, shape ``(cells, factors)``."""
        weights = self.precision[:, None] * self.weights
        return x @ weights - self.mean @ weights


def measured(cells: Cells) -> np.ndarray:
    """Which cell has which modality, shape ``(cells, modalities)``."""
    return np.stack([cells.present.get(name, np.ones(cells.n_obs, dtype=bool)) for name in cells.matrices], axis=1)


def mofa(cells: Cells, *, seed: int, **options: Any) -> tuple[np.ndarray, dict[str, View], bool]:
    """Fit by ``muon.tl.mofa``.

    Parameters
    ----------
    cells
        Cells with several modalities, any of which a cell may lack.
    seed
        Of numpy's global generator, which mofapy2 draws from; it is as before afterwards.
    options
        Arguments of ``muon.tl.mofa``.

    Returns
    -------
    The prior precision of each factor, the model of each modality, and whether the iterations converged.
    """
    import h5py

    with tempfile.TemporaryDirectory() as folder, _quietly():
        data, path = _shell(cells), Path(folder) / "mofa.hdf5"
        _run(data, outfile=str(path), seed=seed, **options)
        with h5py.File(path) as file:
            used = cells.take(data.obs_names.to_numpy(dtype=int))
            return *_read(file, used, scaled=options["scale_views"]), _converged(file)


def _shell(cells: Cells) -> MuData:
    """A MuData that shares the memory of the matrices; each modality has the cells that are measured in it."""
    import anndata as ad
    import mudata as md

    parts = {}
    for i, (x, there) in enumerate(zip(cells.matrices.values(), measured(cells).T, strict=True)):
        obs = pd.DataFrame(index=np.flatnonzero(there).astype(str))  # names may repeat, a gene be called as its protein
        var = pd.DataFrame(index=[f"{i}:{j}" for j in range(x.shape[1])])
        parts[f"view{i}"] = ad.AnnData(x if there.all() else x[there], obs=obs, var=var)
    return md.MuData(parts)


def _run(data: MuData, **options: Any) -> None:
    """Call muon. mofapy2 answers an error, and Ctrl-C, by leaving the interpreter: both reach the caller instead."""
    import mofapy2  # noqa: F401 - muon calls it: results are named by its version too
    import muon

    try:
        muon.tl.mofa(
            data, use_var=None, use_obs="union", likelihoods="gaussian", expectations=KEPT,
            save_data=False, save_metadata=False, save_interrupted=False, **options,
        )  # fmt: skip
    except SystemExit as error:
        raise error.__context__ or TrainingError("mofapy2 gave up.", code="mofa_failed", parameter="data") from None


def _converged(file: h5py.File) -> bool:
    """Whether the iterations converged, by the seconds that each took; mofapy2 takes Ctrl-C for the end of them."""
    open_ended = np.isnan(file["training_stats/time"][()]).sum()
    if open_ended > 1:  # one, the last, is never run
        raise KeyboardInterrupt
    return bool(open_ended == 0)


def _read(file: h5py.File, cells: Cells, *, scaled: bool) -> tuple[np.ndarray, dict[str, View]]:
    found, there = file["expectations"], measured(cells)
    z = found[f"Z/{GROUP}"][()].T
    prior = found[f"AlphaZ/{GROUP}"][()]
    views = {}
    for i, (name, x) in enumerate(cells.matrices.items()):
        seen = x[there[:, i]]
        mean = np.asarray(seen.mean(axis=0, dtype=np.float64)).ravel()
        scale = _spread(seen, mean) if scaled else 1.0
        precision = found[f"Tau/view{i}/{GROUP}"][int(there[:, i].argmax())] / scale**2  # alike for all measured cells
        weights = found[f"W/view{i}"][()].T * scale
        views[name] = View(mean, precision, weights, precision @ weights**2)
    return prior, _with_squares(views, cells, z=z, prior=prior)


def _spread(x: sp.csr_array, mean: np.ndarray) -> float:
    """Standard deviation of all deviations from the means."""
    return float(np.sqrt((x.power(2).sum(dtype=np.float64) / x.shape[0] - (mean**2).sum()) / x.shape[1]))


def _with_squares(views: Mapping[str, View], cells: Cells, *, z: np.ndarray, prior: np.ndarray) -> dict[str, View]:
    """The models with the sums of the expected squared weights, which the file lacks.

    They follow from the factors: each is the ratio of what the other factors leave of the evidence to the sum of `prior` and
    these sums over the modalities of the cell. Where all cells have all modalities only the total is known; what it exceeds
    the squared expectations by is then divided in proportion to these.
    """
    there = measured(cells)
    least = np.stack([view.squares for view in views.values()])
    rest = -prior * z
    for view, x, has in zip(views.values(), cells.matrices.values(), there.T, strict=True):
        rest += has[:, None] * (view.evidence(x) - z @ view.curvature)
    excess = np.zeros_like(least)
    for k, factor in enumerate(z.T):
        design = factor[:, None] * there * np.sqrt(least[:, k])
        excess[:, k] = np.sqrt(least[:, k]) * np.linalg.lstsq(design, rest[:, k], rcond=None)[0]
    squares = least + np.maximum(excess, 0)
    return {name: replace(view, squares=of) for (name, view), of in zip(views.items(), squares, strict=True)}


@contextmanager
def _quietly() -> Iterator[None]:
    """Nothing is printed or warned of, and numpy's global generator is as before when the block ends."""
    state = np.random.get_state()  # noqa: NPY002 - the user's own
    try:
        with calm(), warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
