"""Values that an embedding stands for, by the decoders: reconstructed genes, proteins and peaks that were not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scssl.methods.scvi_tools.embed import CELLS
from scssl.methods.scvi_tools.quiet import quietly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from scssl.methods.scvi_tools.state import Fitted, Network


def decode(
    fitted: Fitted, embedding: np.ndarray, *, into: Sequence[str] | None = None, batch_size: int = CELLS
) -> dict[str, np.ndarray]:
    """Decode embeddings as if the cells were of some batches, and average over these.

    Parameters
    ----------
    into
        Names of batches; ``None``: all that the model was trained with.

    Returns
    -------
    For each modality values of shape ``(cells, features)``. Genes: shares that sum to 1 (log-normalised values of a
    model of those). Proteins: expected counts without background. Peaks: probability of being open.
    """
    known = fitted.meta["batches"] or [""]
    codes = range(len(known)) if into is None else [known.index(name) for name in into]
    outputs, device = OUTPUTS[fitted.tool.name], fitted.device
    parts: list[dict[str, np.ndarray]] = []
    with quietly(), torch.inference_mode():
        for start in range(0, len(embedding), batch_size):
            z = torch.from_numpy(np.asarray(embedding[start : start + batch_size], dtype=np.float32)).to(device)
            answers = (outputs(fitted.module, z, torch.full((len(z), 1), code, device=device)) for code in codes)
            parts.append({name: mean.cpu().numpy() for name, mean in _means(answers, len(codes)).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _means(answers: Iterator[dict[str, Tensor]], n: int) -> dict[str, Tensor]:
    """Means over batches, of which there may be hundreds: one is held at a time."""
    total = next(answers)
    for more in answers:
        total = {name: value + more[name] for name, value in total.items()}
    return {name: value / n for name, value in total.items()}


def _genes(module: Network, z: Tensor, batch: Tensor) -> dict[str, Tensor]:
    # shares do not depend on the library
    found = module.generative(
        z=z, library=torch.ones(len(z), 1, device=z.device), batch_index=batch, y=torch.zeros_like(batch)
    )
    return {"rna": found["px"].scale}


def _genes_and_proteins(module: Network, z: Tensor, batch: Tensor) -> dict[str, Tensor]:
    found = module.generative(
        z=z, library_gene=torch.ones(len(z), 1, device=z.device), batch_index=batch, label=torch.zeros_like(batch)
    )
    py = found["py_"]
    # theirs draws the log of the background from N(alpha, beta); this is the expectation over it
    background = (py["back_alpha"] + py["back_beta"] ** 2 / 2).exp()
    return {"rna": found["px_"]["scale"], "protein": torch.sigmoid(-py["mixing"]) * background * py["fore_scale"]}


def _genes_and_peaks(module: Network, z: Tensor, batch: Tensor) -> dict[str, Tensor]:
    one = torch.ones(len(z), 1, device=z.device)
    found = module.generative(
        z=z, qz_m=z, batch_index=batch, libsize_expr=one, use_z_mean=True, label=torch.zeros_like(batch)
    )
    return {"rna": found["px_scale"], "atac": found["p"]}


def _peaks(module: Network, z: Tensor, batch: Tensor) -> dict[str, Tensor]:
    return {"atac": module.generative(z=z, qz_m=z, batch_index=batch, use_z_mean=True)["px"]}


def _values(module: Network, z: Tensor, batch: Tensor) -> dict[str, Tensor]:
    return {"rna": module.generative(z=z, batch_index=batch, cat_covs=[], compute_cycle=False)["px"].loc}


OUTPUTS: dict[str, Callable[[Network, Tensor, Tensor], dict[str, Tensor]]] = {
    "scvi": _genes, "scanvi": _genes, "joint_embedding_scvi": _genes, "totalvi": _genes_and_proteins,
    "multivi": _genes_and_peaks, "peakvi": _peaks, "sysvi": _values,
}  # fmt: skip
"""The decoder of each model."""
