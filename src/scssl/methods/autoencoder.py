"""The autoencoder without mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scssl._registry import METHODS
from scssl.methods._decoding import PAPER, Decoding, DecodingConfig


@METHODS.register(
    "autoencoder",
    title="Autoencoder",
    family="baseline",
    reference="richter2025delineating",
    compares="off",
    gives=("values", "history"),
    summary="no mask: what a masked autoencoder has to be better than if the mask is to matter",
)
class Autoencoder(Decoding):
    r"""Cells are encoded and reconstructed; nothing is hidden.

    .. math:: \frac{1}{n g} \sum_{i, j} (\hat{x}_{ij} - x_{ij})^2

    over all genes :math:`j` of all cells :math:`i`, or minus the log likelihood of the counts (``output="nb"``). The same
    network, decoder and training as ``mae``: the difference between the two is the mask. :cite:t:`richter2025delineating`
    use it for reconstruction and integration, and leave it out where types are classified.

    ``preset="paper"`` is their network: 512-512-256-256-64, SELU, dropout 0.1, no norms. They used AdamW with weight decay
    0.01 and a step size that falls by a tenth every two epochs, which are not part of the preset.
    """

    @dataclass(frozen=True)
    class Config(DecodingConfig):
        """Configuration of the autoencoder."""

    presets: ClassVar = {"paper": PAPER}
