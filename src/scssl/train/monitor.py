"""Watching a run: not a number, collapse, no progress."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scssl._errors import TrainingError

COLLAPSED_RANK = 1.5


def spectrum(z: Tensor) -> dict[str, float]:
    """Effective rank and spread of an embedding of shape ``(cells, width)``.

    The effective rank :cite:p:`roy2007effective` is the exponential of the entropy of the singular values of the centred
    embedding: between 1 (a line) and the width; 0 if all cells are at one point. The spread is the mean standard
    deviation of a dimension.
    """
    centred = (z - z.mean(dim=0)).double()
    values = torch.linalg.svdvals(centred)
    total = values.sum()
    scale = z.double().abs().max().clamp(min=1e-12)
    if not torch.isfinite(total) or total <= 1e-6 * scale * math.sqrt(len(z)):
        return {"effective_rank": 0.0, "spread": float(centred.std(dim=0).mean())}
    share = values / total
    rank = torch.special.entr(share).sum().exp()
    return {"effective_rank": float(rank), "spread": float(centred.std(dim=0).mean())}


def similarities(a: Tensor, b: Tensor) -> dict[str, float]:
    """Mean cosine of two views of the same cell (``positive``) and of views of different cells (``negative``).

    A method that works pulls the first towards 1 and leaves the second well below. If both go to 1, the embedding
    collapses; if they stay together, the views of a cell are not recognised as such.

    Parameters
    ----------
    a, b
        Embeddings of two views of the same cells, shape ``(cells, width)``.
    """
    a, b = (torch.nn.functional.normalize(z.double(), dim=1) for z in (a, b))
    same, n = float((a * b).sum()), len(a)
    others = float(a.sum(0) @ b.sum(0)) - same
    return {"positive_similarity": same / n, "negative_similarity": others / max(n * (n - 1), 1)}


def collapse_note(rank: float, width: int) -> str:
    """A sentence if the embedding has (nearly) collapsed, else empty."""
    if width < 2 or rank >= COLLAPSED_RANK:
        return ""
    return (
        f"The embedding has collapsed: its effective rank is {rank:.2f} of {width}. "
        "Try a lower learning_rate, weaker views, or a method with negatives such as 'simclr'."
    )


def check_finite(method: str, terms: dict[str, Tensor], *, epoch: int, step: int) -> None:
    """Stop at the first loss that is not finite.

    Raises
    ------
    TrainingError
        Names method, epoch, step and the terms.
    """
    if torch.isfinite(terms["loss"]):
        return
    values = ", ".join(f"{name}={float(value.detach()):.4g}" for name, value in terms.items())
    msg = f"Training {method!r} stopped in epoch {epoch}, step {step}: the loss is not finite ({values})."
    fix = "Check the input with ssl.pp.check, or lower learning_rate."
    raise TrainingError(msg, code="loss_not_finite", parameter="learning_rate", fix=fix)


def check_gradient(method: str, norm: Tensor, *, epoch: int, step: int) -> None:
    """Stop at a gradient that is not finite before it reaches the weights.

    Raises
    ------
    TrainingError
        Names method, epoch and step.
    """
    if torch.isfinite(norm):
        return
    msg = f"Training {method!r} stopped in epoch {epoch}, step {step}: the gradient is not finite."
    raise TrainingError(msg, code="gradient_not_finite", parameter="learning_rate", fix="Lower learning_rate.")


class Patience:
    """Early stopping on the training loss: `patience` epochs without an improvement of 0.1 % of its size."""

    def __init__(self, patience: int | None) -> None:
        self.patience, self.best, self.waited = patience, math.inf, 0

    def over(self, loss: float) -> bool:
        """Tell the loss of an epoch; true if it is time to stop."""
        if self.patience is None:
            return False
        if not math.isfinite(self.best) or loss < self.best - 1e-3 * abs(self.best):
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        return self.waited >= self.patience
