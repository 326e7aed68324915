"""Checks of the shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scssl._validate._problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData


def sizes(adata: AnnData, *, at_least: int = 2, parameter: str = "data") -> Iterator[Problem]:
    """There must be cells and genes, and at least `at_least` cells."""
    n_obs, n_vars = adata.n_obs, adata.n_vars
    shape = f"The object has {n_obs} cells and {n_vars} genes"
    fix = "Check the filter that was applied last: adata[mask].n_obs, adata[:, mask].n_vars."
    if n_obs == 0:
        yield Problem("no_cells", parameter, f"{shape}: there are no cells.", fix)
    elif n_obs < at_least:
        yield Problem("too_few_cells", parameter, f"{shape}; at least {at_least} cells are needed.", fix)
    if n_vars == 0:
        yield Problem("no_genes", parameter, f"{shape}: there are no genes.", fix)
