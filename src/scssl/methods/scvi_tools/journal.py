"""The logger that Lightning writes to: a row of an epoch each, and our progress bar. Imports Lightning: import late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

if TYPE_CHECKING:
    from argparse import Namespace

    from tqdm import tqdm


class Journal(Logger):
    """Rows of an epoch each.

    A logger and not a callback: scANVI drops its own callback, which draws labels anew, where it is given one.

    Parameters
    ----------
    bar
        Moves by one at the end of every epoch.
    """

    def __init__(self, bar: tqdm) -> None:
        super().__init__()
        self.bar = bar
        self.epochs: dict[int, dict[str, float]] = {}
        self._waiting: dict[str, float] = {}

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "scssl"

    @property
    def version(self) -> int:
        """Version of the run."""
        return 0

    @property
    def rows(self) -> list[dict[str, float]]:
        """History: ``epoch``, ``loss`` (of the training cells) and every series that scvi-tools log."""
        return [self.epochs[epoch] for epoch in sorted(self.epochs)]

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, object] | Namespace, *args: object, **kwargs: object) -> None:
        """Nothing: the configuration is in the record of the model."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Take numbers of an epoch, or of a step (learning rates): those go to the epoch that the step is of."""
        values = {name: float(value) for name, value in metrics.items()}
        epoch = values.pop("epoch", None)
        if epoch is None:
            self._waiting |= values
            return
        row = self.epochs.setdefault(int(epoch), {"epoch": int(epoch)})
        row |= self._waiting | values
        self._waiting = {}
        if "train_loss" in values:
            row["loss"] = values["train_loss"]
            self.bar.set_postfix(loss=f"{row['loss']:.4g}", refresh=False)
            self.bar.update()
