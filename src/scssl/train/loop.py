"""The loop: epochs, views, steps, checkpoints. Plain torch; several devices go through :mod:`scssl.train.distributed`."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from scssl import _random, _settings
from scssl.train import checkpoint, monitor
from scssl.train.batches import Batches, Draw
from scssl.train.device import precision, seeded, sharing_threads
from scssl.train.phase import Phase, phase_at

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from torch import nn

    from scssl.data.cells import Cells
    from scssl.methods._trained import Trained
    from scssl.models.finetune import Supervised
    from scssl.train.batches import Batch
    from scssl.train.phase import Turn
    from scssl.train.sampler import Sampler

    Learner: TypeAlias = Trained | Supervised

PROBE_CELLS = 512  # cells on which rank and spread of the embedding are watched
PROBE_PAIRS = 128  # cells of which two views are compared
VALIDATION = "validation_"
Record = dict[str, Any]
History = list[Record]
Inputs = Any
"""What `inputs` makes and the objectives of the same method take."""


class Trainable(Protocol):
    """What the loop asks of a module."""

    def embed(self, batch: Batch) -> Tensor:
        """Embedding of shape ``(cells, width)``."""

    def inputs(self, batch: Batch, draw: Draw) -> Inputs:
        """What the objectives are given of a mini-batch: two views, a masked and a whole cell, tokens."""

    def compared(self, batch: Batch, draw: Draw) -> tuple[Batch, Batch] | None:
        """Two versions of the same cells whose embeddings should agree; ``None`` where nothing of the kind is trained."""

    def phases(self) -> tuple[Phase, ...]:
        """Parts of the run."""

    def trains_on(self, cells: Cells) -> np.ndarray | None:
        """Positions of the cells of the next epoch; ``None``: all."""

    def before_epoch(self, epoch: int, cells: Cells) -> None:
        """Called before every epoch, in eval mode."""

    def after_step(self, progress: float) -> None:
        """Called after every step with the share of the run that is done."""


@dataclass(frozen=True)
class Run:
    """How to train: everything the loop needs besides the module and the cells."""

    method: str
    seed: int
    device: torch.device
    sampler: Sampler
    max_epochs: int
    learning_rate: float
    weight_decay: float
    held_out: np.ndarray | None = None
    """Cells that are not trained on: their loss says when to stop and which weights are kept."""
    within_groups: bool = False
    """Whether cells of different batches are left out of each other's comparison."""
    prepared: object = None
    """What the method found out about all cells before training."""
    ahead: bool = True
    """Whether a second thread makes the inputs of the next step: not where there is little to make."""
    accelerator: str = "auto"
    devices: int | str = "auto"
    patience: int | None = None
    precision: str = "auto"
    checkpoint_dir: Path | None = None
    run_id: str = ""
    resume: bool = False
    paced: bool = False
    """Whether the method goes by the share of the run that is done: such a run has one length, given from the start."""
    progress: bool | None = None


class Engine:
    """One process, one device. :class:`scssl.train.distributed.FabricEngine` does the same for several."""

    is_first = True
    alone = True

    def setup(
        self, module: Learner, optimizers: list[torch.optim.Optimizer]
    ) -> tuple[Any, list[torch.optim.Optimizer]]:
        """Module and optimisers, ready for training."""
        return module, optimizers

    def share(self, index: np.ndarray) -> np.ndarray:
        """The part of a mini-batch that is this process's."""
        return index

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss."""
        loss.backward()

    def mean(self, value: float) -> float:
        """The mean of a number over all processes."""
        return value

    def agreed(self, value: Any) -> Any:
        """The value of the first process, in all of them: what decides how many steps there are."""
        return value


def train(module: Learner, cells: Cells, run: Run, engine: Engine | None = None) -> History:
    """Train `module` in place.

    Returns
    -------
    list of dict
        The history: for every epoch the mean of each loss term (also on the cells held out), effective rank and spread of
        the embedding, similarity of views of the same and of different cells, seconds.

    Raises
    ------
    TrainingError
        If a loss or gradient is not finite; names method, epoch and step.
    """
    engine = engine or Engine()
    module.to(run.device)
    phases = module.phases()
    opened = _Opened(module, run, engine)
    history: History = []
    best: dict[str, Tensor] = {}
    if run.resume and run.checkpoint_dir:
        found = checkpoint.read(run.checkpoint_dir, run=run)
        if found is not None:
            opened.open(phase_at(phases, max(len(found.history) - 1, 0), run.max_epochs))
            found.restore(module, opened.optimizers)
            history, best = found.history, found.best
    watched = "loss" if run.held_out is None else f"{VALIDATION}loss"
    patience = monitor.Patience(run.patience)
    stop = any([patience.over(record[watched]) for record in history])  # noqa: C419 - every epoch has to be told
    epochs = range(len(history), run.max_epochs) if not stop else range(0)
    bar = _settings.progress(epochs, description=run.method, show=run.progress if engine.is_first else False)
    for epoch in bar:
        opened.open(phase_at(phases, epoch, run.max_epochs))
        record = _epoch(module, opened, cells, run, epoch=epoch, engine=engine)
        if run.held_out is not None:
            record |= _validate(module, cells, run, opened.phase)
            if record[watched] < min((earlier[watched] for earlier in history), default=math.inf):
                best = {name: value.clone() for name, value in module.state_dict().items()}
        history.append(record | _probe(module, cells, run))
        bar.set_postfix(loss=f"{record['loss']:.3f}", rank=f"{history[-1]['effective_rank']:.1f}")
        if run.checkpoint_dir and engine.is_first:
            checkpoint.save(run.checkpoint_dir, module, opened.optimizers, run=run, history=history, best=best)
        if patience.over(record[watched]):
            break
    if best:
        module.load_state_dict(best)
    module.eval()
    return history


class _Opened:
    """The phase that a run is in: its optimisers, and the module as the engine wraps it."""

    def __init__(self, module: Learner, run: Run, engine: Engine) -> None:
        self._module, self._run, self._engine = module, run, engine
        self.phase: Phase = Phase(turns=())
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.wrapped: Any = module

    def open(self, phase: Phase) -> None:
        """Begin a phase, with new optimisers; nothing happens inside of one."""
        if phase is self.phase:
            return
        run = self._run
        self.phase = phase
        self.optimizers = phase.optimizers(self._module, learning_rate=run.learning_rate, weight_decay=run.weight_decay)
        self.wrapped, self._steppers = self._engine.setup(self._module, list(self.optimizers.values()))

    def turns(self) -> Iterator[tuple[Turn, torch.optim.Optimizer, list[nn.Parameter]]]:
        """Every step that a mini-batch takes: the turn, its optimiser, the weights that it moves."""
        for turn, stepper in zip(self.phase.turns, self._steppers, strict=True):
            weights = [p for group in stepper.param_groups for p in group["params"]]
            for _ in range(turn.steps):
                yield turn, stepper, weights


def _epoch(module: Learner, opened: _Opened, cells: Cells, run: Run, *, epoch: int, engine: Engine) -> Record:
    started = time.perf_counter()
    sums: dict[str, float] = defaultdict(float)
    buffers = _sampler(module, cells, run, engine, epoch).buffers(run.seed, epoch)
    shares = [engine.share(part) for parts in buffers for part in parts]
    opened.wrapped.train()
    with (
        seeded(_random.derive(run.seed, "layers", epoch), run.device),
        precision(run.precision, run.device),
        cells.following(buffers),
        closing(_made_ahead(module, cells, shares, run, epoch)) as steps,
    ):
        for step, inputs in enumerate(steps):
            terms = _step(opened, inputs, run, engine, at=(epoch, step))
            module.after_step((epoch + (step + 1) / len(shares)) / run.max_epochs)
            for name, value in terms.items():
                sums[name] += float(value.detach()) * len(shares[step])
    means = {name: engine.mean(total / sum(map(len, shares))) for name, total in sums.items()}
    ends = {name: torch.tensor(value) for name, value in means.items()}
    monitor.check_finite(run.method, ends, epoch=epoch, step=len(shares) - 1)
    return {"epoch": epoch, **means, "seconds": time.perf_counter() - started}


def _sampler(module: Any, cells: Cells, run: Run, engine: Engine, epoch: int) -> Sampler:
    """Which cells an epoch trains on. The hook before it finds the module in eval mode, with random numbers of its own."""
    module.eval()  # as after any other epoch: the first one, and that of a resumed run, must not differ
    with seeded(_random.derive(run.seed, "before", epoch), run.device):
        module.before_epoch(epoch, cells)
    allowed = engine.agreed(module.trains_on(cells))
    return run.sampler if allowed is None else run.sampler.only(allowed)


def _step(opened: _Opened, inputs: Inputs, run: Run, engine: Engine, *, at: tuple[int, int]) -> dict[str, Tensor]:
    """All turns of a phase on one mini-batch. Returns their terms; of equal names (``loss``) that of the last turn."""
    epoch, step = at
    seen: dict[str, Tensor] = {}
    for turn, optimizer, weights in opened.turns():
        terms = getattr(opened.wrapped, turn.objective)(inputs)
        if engine.alone:  # else all stop at the same step, by the gradient that they share
            monitor.check_finite(run.method, terms, epoch=epoch, step=step)
        optimizer.zero_grad(set_to_none=True)
        engine.backward(terms["loss"])
        norm = torch.nn.utils.clip_grad_norm_(weights, math.inf)  # measures only: nothing is clipped
        monitor.check_gradient(run.method, norm, epoch=epoch, step=step)
        optimizer.step()
        seen |= terms
    return seen


def _made_ahead(module: Learner, cells: Cells, shares: list[np.ndarray], run: Run, epoch: int) -> Generator[Inputs]:
    """The inputs of every step; with more than one thread, a second thread makes them while the network is at work.

    Their random numbers are derived from the step, so that it does not matter who makes them. Where there are no views to
    make, what is left to do is small beside the products of a network that decodes: on the CPU it has all threads.
    """

    def make(step: int, index: np.ndarray) -> Inputs:
        return _inputs(module, cells, run, (epoch, step), index)

    if torch.get_num_threads() == 1 or (run.device.type == "cpu" and not run.ahead):
        yield from map(make, range(len(shares)), shares)
        return
    with sharing_threads(run.device), ThreadPoolExecutor(1) as second:
        ahead: deque[Future[Inputs]] = deque()
        for step, index in enumerate(shares):
            ahead.append(second.submit(make, step, index))
            if step:
                yield ahead.popleft().result()
        yield ahead.popleft().result()


def _drawn(cells: Cells, run: Run, at: tuple[int, int], index: np.ndarray) -> tuple[Batch, Draw]:
    """The mini-batch of an epoch and step, and its random numbers."""
    batches = Batches(cells, run.device)
    batch = batches.take(index)
    if run.within_groups:
        batch = replace(batch, group=batch.batch)
    return batch, Draw(run.seed, at, index, batches, run.prepared)


def _inputs(module: Learner, cells: Cells, run: Run, at: tuple[int, int], index: np.ndarray) -> Inputs:
    return module.inputs(*_drawn(cells, run, at, index))


@torch.no_grad()
def _validate(module: Learner, cells: Cells, run: Run, phase: Phase) -> dict[str, float]:
    """The terms of the objective on cells that are held out, as the trained model sees them; the same views every epoch."""
    sums: dict[str, float] = defaultdict(float)
    held_out = np.asarray(run.held_out)
    apart = replace(run, seed=_random.derive(run.seed, "validation"))
    objective = getattr(module, phase.turns[-1].objective)
    module.eval()
    with precision(run.precision, run.device):
        for step, part in enumerate(np.array_split(held_out, -(-len(held_out) // PROBE_CELLS))):
            for name, value in objective(_inputs(module, cells, apart, (0, step), part)).items():
                sums[VALIDATION + name] += float(value) * len(part)
    return {name: total / len(held_out) for name, total in sums.items()}


def _probe(module: Learner, cells: Cells, run: Run) -> dict[str, float]:
    """What the embedding is like, on some cells, as they are embedded later.

    The two views of a cell are the same in every epoch, and from a stream of their own.
    """
    some, pairs = (_evenly(cells.n_obs, n) for n in (PROBE_CELLS, PROBE_PAIRS))
    apart = replace(run, seed=_random.derive(run.seed, "probe"))
    module.eval()
    with torch.no_grad():
        seen = monitor.spectrum(module.embed(Batches(cells, run.device).take(some)))
        two = module.compared(*_drawn(cells, apart, (0, 0), pairs))
        return seen if two is None else seen | monitor.similarities(*map(module.embed, two))


def _evenly(n_obs: int, n: int) -> np.ndarray:
    """Positions of `n` cells, evenly spread over all (fewer if there are fewer)."""
    return np.unique(np.linspace(0, n_obs - 1, min(n, n_obs)).astype(int))
