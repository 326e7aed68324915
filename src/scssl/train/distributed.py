"""The loop on several devices or nodes, inside Lightning Fabric. Imported only then: it costs seconds."""

from __future__ import annotations

import copy
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scssl._errors import CheckpointError, InputError, TrainingError
from scssl.train.loop import Engine, Run, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import torch
    from torch import Tensor

    from scssl._types import Json
    from scssl.data.cells import Cells
    from scssl.train.loop import Learner

CLUSTER_VARIABLES = ("WORLD_SIZE", "SLURM_NTASKS")  # set by torchrun and srun: the processes exist already


class FabricEngine(Engine):
    """Each process takes its share of every mini-batch; gradients are averaged by DDP."""

    def __init__(self, fabric: Any) -> None:
        self.fabric = fabric
        self.is_first = fabric.is_global_zero
        self.alone = fabric.world_size == 1

    def setup(
        self, module: Learner, optimizers: list[torch.optim.Optimizer]
    ) -> tuple[Any, list[torch.optim.Optimizer]]:
        """Wrap module and optimisers; the objectives are what DDP sees as the forward pass."""
        wrapped, *steppers = self.fabric.setup(module, *optimizers)
        for name in {turn.objective for phase in module.phases() for turn in phase.turns}:
            wrapped.mark_forward_method(name)
        return wrapped, steppers

    def share(self, index: np.ndarray) -> np.ndarray:
        """Every n-th cell of the mini-batch, n the number of processes."""
        return index[self.fabric.global_rank :: self.fabric.world_size]

    def backward(self, loss: Tensor) -> None:
        """Gradients, averaged over the processes."""
        self.fabric.backward(loss)

    def mean(self, value: float) -> float:
        """The mean over the processes, so that all of them decide alike about early stopping."""
        return float(self.fabric.all_reduce(value, reduce_op="mean"))

    def agreed(self, value: Any) -> Any:
        """The value of the first process: statistics of norms differ between them, and so may what a hook makes of them."""
        return self.fabric.broadcast(value)


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what Lightning and its launcher leave in the environment (a port, folders)."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@_environment_kept()
def train_on_several(module: Learner, cells: Cells, run: Run) -> list[Json]:
    """Train on several devices; the weights are loaded back into `module`.

    Negatives and batch statistics are those of each process's share of the mini-batch, as usual with DDP.

    Raises
    ------
    InputError
        If the number of devices is not a number, or larger than a mini-batch allows, or the method trains its parts in turns.
    TrainingError
        If a loss or gradient is not finite in any of the processes: all stop at the same step.
    """
    devices = run.devices
    if not isinstance(devices, int) or isinstance(devices, bool) or devices < 2:
        msg = f"devices={devices!r} is not 'auto' or a number of devices."
        raise InputError(msg, code="bad_devices", parameter="devices", fix="Pass for example devices=2.")
    if len(module.phases()) > 1 or any(turn.trains for phase in module.phases() for turn in phase.turns):
        msg = f"devices={devices}: {run.method!r} trains its parts in turns, which works on one device."
        raise InputError(msg, code="bad_devices", parameter="devices", fix="Leave devices out.")
    if run.sampler.batch_size < 2 * devices:
        msg = f"devices={devices} leaves {run.sampler.batch_size} / {devices} cells of a mini-batch to each."
        raise InputError(msg, code="bad_devices", parameter="devices", fix=f"Use batch_size >= {2 * devices}.")
    from lightning.fabric import Fabric

    fabric = Fabric(accelerator=run.accelerator, devices=devices, num_nodes=_nodes(), strategy=_strategy())
    if any(name in os.environ for name in CLUSTER_VARIABLES):
        fabric.launch()
        return train(module, cells, replace(run, device=fabric.device), FabricEngine(fabric))
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.safetensors"
        fabric.launch(partial(_work, module, cells, run, result))
        return _take(module, result)


def _work(module: Learner, cells: Cells, run: Run, result: Path, fabric: Any) -> None:
    """What each process does; the first leaves weights and history in a file, which no pipe is too small for."""
    from safetensors.torch import save_file

    own = copy.deepcopy(module)  # tensors that came from another process share its memory
    try:
        history = train(own, cells, replace(run, device=fabric.device), FabricEngine(fabric))
    except (CheckpointError, TrainingError) as error:  # all processes meet it; the user shall have it as from one
        if fabric.is_global_zero:
            told = {name: getattr(error, name) for name in ("message", "code", "parameter", "fix")}
            save_file({}, result, metadata={"error": type(error).__name__, "told": json.dumps(told)})
        return
    if fabric.is_global_zero:
        weights = {name: value.cpu().contiguous() for name, value in own.state_dict().items()}
        save_file(weights, result, metadata={"history": json.dumps(history)})


def _take(module: Learner, result: Path) -> list[Json]:
    """Load the weights of a finished run and return its history; raise what stopped it."""
    from safetensors import safe_open

    with safe_open(result, framework="pt") as file:
        if "error" in file.metadata():
            kinds = {kind.__name__: kind for kind in (CheckpointError, TrainingError)}
            told = json.loads(file.metadata()["told"])
            raise kinds[file.metadata()["error"]](told.pop("message"), **told)
        module.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - not a mapping
        return json.loads(file.metadata()["history"])


def _strategy() -> str:
    if any(name in os.environ for name in CLUSTER_VARIABLES):
        return "ddp"
    return "ddp_notebook" if hasattr(sys, "ps1") or "ipykernel" in sys.modules else "ddp_spawn"


def _nodes() -> int:
    return int(os.environ.get("SLURM_NNODES", "1"))
