"""Factors that modalities share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scssl._errors import warn
from scssl._registry import METHODS
from scssl.methods import _base
from scssl.methods._base import Method, State
from scssl.methods._muon import View, measured, mofa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scssl.data.cells import Cells
    from scssl.train.loop import History, Run

SEEDS = 2**32  # numpy's global generator takes no larger one


@METHODS.register(
    "mofa",
    title="MOFA+",
    family="baseline",
    reference="argelaguet2020mofa",
    needs=("modalities",),
    gives=("values",),
    compares="off",
    extra="mofa",
    summary="the linear baseline of several modalities: sparse factors that they share; cells may lack a modality",
)
class MOFA(Method):
    r"""Factors shared by modalities :cite:p:`argelaguet2020mofa`, fitted by muon :cite:p:`bredikhin2022muon` on the processor.

    .. math:: x_m = \mu_m + W_m z + \epsilon_m, \qquad \epsilon_m \sim N(0, T_m^{-1})

    The embedding of a cell, of the fit or not, is the mean of its factors given the fitted model, from the modalities that
    it has:

    .. math:: \left(A + \sum_m \langle W_m^T T_m W_m \rangle\right) z = \sum_m W_m^T T_m (x_m - \mu_m)

    :math:`A` is the prior precision. For the cells of the fit these are the factors of MOFA, as far as its iterations have
    converged. Likelihoods are Gaussian, batches are not modelled, and matrices are dense in memory during the fit.
    """

    @dataclass(frozen=True)
    class Config(_base.Config):
        """Configuration of MOFA+, with the defaults of muon."""

        width: int = field(default=10, metadata={"at_least": 1})
        """Number of factors; fewer if there are fewer cells or features."""
        n_iterations: int = field(default=1000, metadata={"at_least": 2})
        """Iterations after which it stops, converged or not."""
        convergence_mode: str = field(default="fast", metadata={"choices": ("fast", "medium", "slow")})
        """How small the change of the lower bound is at convergence."""
        scale_views: bool = False
        """Whether modalities are scaled to the same variance."""
        spikeslab_weights: bool = True
        """Whether a factor leaves out features, beside whole modalities."""

    embeds_one = True
    prior: np.ndarray
    views: dict[str, View]

    @property
    def n_dims(self) -> int:
        """Number of factors."""
        return len(self.prior)

    def fit(self, cells: Cells, run: Run) -> History:
        """Fit by ``muon.tl.mofa``, which keeps no history of the factors."""
        options = asdict(self.config)
        factors = min(options.pop("width"), cells.n_obs - 1, sum(self.sizes.values()))
        self.prior, self.views, converged = mofa(cells, seed=run.seed % SEEDS, n_factors=factors, **options)
        if not converged:
            warn(f"MOFA did not converge in n_iterations={options['n_iterations']}: pass more of them.")
        return []

    def embed(self, batch: Cells) -> np.ndarray:
        """Mean of the factors given the modalities that each cell has."""
        there, views = measured(batch), [self.views[name] for name in batch.matrices]
        evidence = sum(
            has[:, None] * view.evidence(x)
            for has, view, x in zip(there.T, views, batch.matrices.values(), strict=True)
        )
        embedding = np.empty_like(evidence)
        for pattern in np.unique(there, axis=0):
            cells = (there == pattern).all(axis=1)
            precision = np.diag(self.prior) + sum(
                view.curvature for view, has in zip(views, pattern, strict=True) if has
            )
            embedding[cells] = evidence[cells] @ np.linalg.inv(precision)
        return embedding

    def decoded(self, cells: Cells, index: np.ndarray) -> dict[str, np.ndarray]:
        r"""Values of every modality: :math:`\mu_m + W_m z`."""
        z = self.embed(cells.take(index))
        return {name: (view.mean + z @ view.weights.T).astype(np.float32) for name, view in self.views.items()}

    def state(self) -> State:
        """The prior, and the model of each modality."""
        parts = {f"{name}/{part}": x for name, view in self.views.items() for part, x in vars(view).items()}
        return State({"prior": self.prior, **parts})

    @classmethod
    def restored(
        cls, config: Any, genes: Mapping[str, np.ndarray], codes: Mapping[str, Sequence[str]], state: State
    ) -> Self:
        """The model that was saved."""
        made = cls(config, {name: len(names) for name, names in genes.items()}, codes.get("batch", ()))
        parts = [f.name for f in fields(View)]
        tensors = {name: np.asarray(tensor) for name, tensor in state.tensors.items()}
        made.prior = tensors["prior"]
        made.views = {name: View(*(tensors[f"{name}/{part}"] for part in parts)) for name in genes}
        return made
