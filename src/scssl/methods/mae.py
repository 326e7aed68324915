"""The masked autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from scssl._registry import METHODS
from scssl.methods._decoding import PAPER, Decoding, DecodingConfig
from scssl.nn.inputs import HIDDEN_AS, ZERO
from scssl.views.masks import MASKS, RANDOM, check_rate
from scssl.views.masks import masking as masking_of

if TYPE_CHECKING:
    from torch import Tensor

    from scssl._types import Json
    from scssl.data.cells import Cells
    from scssl.nn.inputs import Input
    from scssl.views.masks import Masking


@METHODS.register(
    "mae",
    title="Masked autoencoder",
    family="masked",
    reference="richter2025delineating",
    compares="off",
    gives=("values", "history"),
    summary="hidden genes are predicted from the visible ones, at random or by gene programmes; pretrain big, use small",
)
class MAE(Decoding):
    r"""Some values of a cell are hidden and predicted from the others :cite:p:`richter2025delineating`.

    .. math:: \frac{1}{|T|} \sum_{(i, j) \in T} \left(\hat{x}_{ij}(v_i \odot x_i) - x_{ij}\right)^2

    :math:`v_i` says which genes of cell :math:`i` are visible, :math:`T` which are predicted. Both are drawn for each cell
    and each mini-batch:

    ==================== ========================================= =====================================
    ``mask``             visible                                   predicted
    ==================== ========================================= =====================================
    ``"random"``         each gene with probability 1 - `rate`     the hidden ones
    ``"gene_programme"`` all but whole gene sets, whose union      the hidden ones
                         has a share `rate` of the genes
    ``"gp_to_gp"``       one gene set                              the same gene set
    ``"gp_to_tf"``       the targets of one transcription factor   the transcription factor
    ==================== ========================================= =====================================

    The last three need :func:`scssl.pp.gene_sets`. The error is taken over what is predicted, not over what the network can
    see: an autoencoder that also copies learns to copy. Visible values are never rescaled, so that cells are embedded as they
    were trained on. With several modalities each has a mask of its own, a share `modality_rate` of the cells is seen by one
    modality alone, and the loss is the mean over the modalities.

    Choose it to pretrain on many cells what is then fine-tuned on few; ``autoencoder`` is the control that shows whether the
    mask matters. A tenth of the cells is held out, and the epoch is kept that predicts them best: trained for long on few cells,
    the network learns these by heart. Each cell is taken for itself: with a batch key nothing is compared, and batches are not mixed.

    ``preset="paper"`` is the published network (512-512-256-256-64, SELU, dropout 0.1, no norms) with its batch of 8,192
    cells, but with linear output instead of a sigmoid, which cannot reach values above 1, and without doubling the visible
    values. They used AdamW with weight decay 0.01 and a step size that falls by a tenth every two epochs, which are not part
    of the preset.
    """

    @dataclass(frozen=True)
    class Config(DecodingConfig):
        """Configuration of the masked autoencoder."""

        mask: str = field(default=RANDOM, metadata={"choices": MASKS})
        """What is hidden, see above."""
        rate: float | None = field(default=0.5, metadata={"above": 0, "below": 1})
        """Share of the genes that are hidden, of ``"random"`` and ``"gene_programme"``."""
        masked_value: str = field(default=ZERO, metadata={"choices": HIDDEN_AS})
        """What stands in the place of a hidden value: ``"zero"``; ``"token"``: a learned value of each gene;
        ``"indicator"``: zero, and an input for each gene that says that it is hidden."""
        modality_rate: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
        """Share of the cells of which, with several modalities, one is seen as a whole and the others are predicted from it;
        for ``"random"`` and ``"gene_programme"``."""
        gene_sets: str = "gene_sets"
        """Name of the gene sets in ``varm``, see :func:`scssl.pp.gene_sets`."""

        def __post_init__(self) -> None:
            check_rate(self.mask, self.rate)

    presets: ClassVar = {"paper": {**PAPER, "mask": RANDOM, "rate": 0.5}}

    def encoder_options(self) -> Json:
        """What stands in the place of hidden values."""
        return {"hidden_as": self.config.masked_value}

    def start_from(self, name: str, x: Tensor) -> None:
        """The token of each gene starts at the mean of the gene, too."""
        super().start_from(name, x)
        entry = cast("Input", self.encoder.inputs[list(self.sizes).index(name)])
        if entry.token is not None:
            entry.token.data.copy_(x.mean(dim=0))

    @classmethod
    def reads(cls, config: Any) -> frozenset[str]:
        """As every method that decodes, and the gene sets of a mask that is made of them."""
        return super().reads(config) | (frozenset() if config.mask == RANDOM else {"gene_sets"})

    @classmethod
    def masking(cls, config: Any, cells: Cells) -> Masking:
        """The masks, with their gene sets."""
        how = {"key": config.gene_sets, "modality_rate": config.modality_rate}
        return masking_of(config.mask, config.rate, cells, **how)
