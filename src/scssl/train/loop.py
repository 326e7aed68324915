"""The loop: epochs, views, steps, checkpoints. Plain torch; several devices go through :mod:`scssl.train.distributed`."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from scssl import _random, _settings
from scssl._errors import TrainingError
from scssl.train import checkpoint, monitor
from scssl.train.device import precision, seeded, sharing_threads
from scssl.views.pipeline import augment

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from scssl.data.source import Batch, Source
    from scssl.train.sampler import Sampler
    from scssl.views._base import View
    from scssl.views.masks import Masking

PROBE_CELLS = 512  # cells on which rank and spread of the embedding are watched
PROBE_PAIRS = 128  # cells of which two views are compared
VALIDATION = "validation_"


class Trainable(Protocol):
    """What the loop asks of a method: a module with an embedding and an objective over two views."""

    def embed(self, batch: Batch) -> Tensor:
        """Embedding of shape ``(cells, width)``."""

    def objective(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """``loss`` to go down, and other terms to be watched."""

    def after_step(self, progress: float) -> None:
        """Called after every step with the share of the run that is done."""


@dataclass(frozen=True)
class Run:
    """How to train: everything the loop needs besides the module and the cells."""

    method: str
    seed: int
    device: torch.device
    views: tuple[View, ...]
    sampler: Sampler
    max_epochs: int
    learning_rate: float
    weight_decay: float
    held_out: np.ndarray | None = None
    """Cells that are not trained on: their loss says when to stop and which weights are kept."""
    within_groups: bool = False
    """Whether cells of different batches are left out of each other's comparison."""
    masking: Masking | None = None
    """What is hidden from a method that predicts; the second of its two views are the cells as they are."""
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

    def setup(self, module: Any, optimizer: torch.optim.Optimizer) -> tuple[Any, torch.optim.Optimizer]:
        """Module and optimiser, ready for training."""
        return module, optimizer

    def share(self, index: np.ndarray) -> np.ndarray:
        """The part of a mini-batch that is this process's."""
        return index

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss."""
        loss.backward()

    def mean(self, value: float) -> float:
        """The mean of a number over all processes."""
        return value


def train(module: Any, source: Source, run: Run, engine: Engine | None = None) -> list[dict[str, Any]]:
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
    optimizer: torch.optim.Optimizer = torch.optim.Adam(
        module.parameters(),
        lr=run.learning_rate,
        weight_decay=run.weight_decay,
        fused=run.device.type in ("cpu", "cuda"),
    )
    history: list[dict[str, Any]] = []
    best: dict[str, Tensor] = {}
    if run.resume and run.checkpoint_dir:
        history, best = checkpoint.restore(run.checkpoint_dir, module, optimizer, run=run)
    wrapped, wrapped_optimizer = engine.setup(module, optimizer)
    watched = "loss" if run.held_out is None else f"{VALIDATION}loss"
    patience = monitor.Patience(run.patience)
    stop = any([patience.over(record[watched]) for record in history])  # noqa: C419 - every epoch has to be told
    epochs = range(len(history), run.max_epochs) if not stop else range(0)
    bar = _settings.progress(epochs, description=run.method, show=run.progress if engine.is_first else False)
    for epoch in bar:
        record = _epoch(wrapped, wrapped_optimizer, source, run, epoch=epoch, engine=engine)
        if run.held_out is not None:
            record |= _validate(module, source, run, run.held_out)
            if record[watched] < min((earlier[watched] for earlier in history), default=math.inf):
                best = {name: value.clone() for name, value in module.state_dict().items()}
        history.append(record | _probe(module, source, run))
        bar.set_postfix(loss=f"{record['loss']:.3f}", rank=f"{history[-1]['effective_rank']:.1f}")
        if run.checkpoint_dir and engine.is_first:
            checkpoint.save(run.checkpoint_dir, module, optimizer, run=run, history=history, best=best)
        if patience.over(record[watched]):
            break
    if best:
        module.load_state_dict(best)
    module.eval()
    return history


def _epoch(
    module: Any, optimizer: torch.optim.Optimizer, source: Source, run: Run, *, epoch: int, engine: Engine
) -> dict[str, Any]:
    started = time.perf_counter()
    sums: dict[str, float] = defaultdict(float)
    buffers = run.sampler.buffers(run.seed, epoch)
    shares = [engine.share(cells) for parts in buffers for cells in parts]
    module.train()
    with (
        seeded(_random.derive(run.seed, "layers", epoch), run.device),
        precision(run.precision, run.device),
        source.following(buffers),
        closing(_made_ahead(source, shares, run, epoch)) as steps,
    ):
        for step, views in enumerate(steps):
            terms = module.objective(views)
            if engine.alone:  # else all stop at the same step, by the gradient that they share
                monitor.check_finite(run.method, terms, epoch=epoch, step=step)
            optimizer.zero_grad(set_to_none=True)
            engine.backward(terms["loss"])
            norm = torch.nn.utils.clip_grad_norm_(module.parameters(), math.inf)  # measures only: nothing is clipped
            monitor.check_gradient(run.method, norm, epoch=epoch, step=step)
            optimizer.step()
            module.after_step((epoch + (step + 1) / len(shares)) / run.max_epochs)
            for name, value in terms.items():
                sums[name] += float(value.detach()) * len(shares[step])
    means = {name: engine.mean(total / sum(map(len, shares))) for name, total in sums.items()}
    ends = {name: torch.tensor(value) for name, value in means.items()}
    monitor.check_finite(run.method, ends, epoch=epoch, step=len(shares) - 1)
    return {"epoch": epoch, **means, "seconds": time.perf_counter() - started}


def _made_ahead(source: Source, shares: list[np.ndarray], run: Run, epoch: int) -> Generator[tuple[Batch, Batch]]:
    """The views of every step; with more than one thread, a second thread makes them while the network is at work.

    Their random numbers are derived from the step, so that it does not matter who makes them. Where there are no views to
    make, what is left to do is small beside the products of a network that decodes: on the CPU it has all threads.
    """
    make = partial(_two_views, source, run, epoch)
    if torch.get_num_threads() == 1 or (run.device.type == "cpu" and not run.views):
        yield from map(make, range(len(shares)), shares)
        return
    with sharing_threads(run.device), ThreadPoolExecutor(1) as second:
        ahead: deque[Future[tuple[Batch, Batch]]] = deque()
        for step, index in enumerate(shares):
            ahead.append(second.submit(make, step, index))
            if step:
                yield ahead.popleft().result()
        yield ahead.popleft().result()


def _two_views(source: Source, run: Run, epoch: int, step: int, index: np.ndarray) -> tuple[Batch, Batch]:
    """Two independent views of the same cells; with a mask, what is left of one view, and the cells themselves."""
    batch = source.take(index, run.device)
    if run.within_groups:
        batch = replace(batch, group=batch.batch)

    def view(which: int) -> Batch:
        counters = (epoch, step, which)
        return augment(batch, run.views, source, index, seed=run.seed, counters=counters) if run.views else batch

    if run.masking is not None:
        return run.masking(view(0), seed=run.seed, counters=(epoch, step)), batch
    return view(0), view(1)


@torch.no_grad()
def _validate(module: Any, source: Source, run: Run, cells: np.ndarray) -> dict[str, float]:
    """The terms of the objective on cells that are held out, as the trained model sees them; the same views every epoch."""
    sums: dict[str, float] = defaultdict(float)
    apart = replace(run, seed=_random.derive(run.seed, "validation"))
    module.eval()
    with precision(run.precision, run.device):
        for step, part in enumerate(np.array_split(cells, -(-len(cells) // PROBE_CELLS))):
            for name, value in module.objective(_two_views(source, apart, 0, step, part)).items():
                sums[VALIDATION + name] += float(value) * len(part)
    return {name: total / len(cells) for name, total in sums.items()}


def _probe(module: Any, source: Source, run: Run) -> dict[str, float]:
    """What the embedding is like, on some cells, as they are embedded later.

    The two views of a cell are the same in every epoch, and from a stream of their own.
    """
    cells, pairs = (_evenly(source.n_obs, n) for n in (PROBE_CELLS, PROBE_PAIRS))
    apart = replace(run, seed=_random.derive(run.seed, "probe"))
    module.eval()
    with torch.no_grad():
        embedding = module.embed(source.take(cells, run.device))
        first, second = (module.embed(view) for view in _two_views(source, apart, 0, 0, pairs))
    return monitor.spectrum(embedding) | monitor.similarities(first, second)


def _evenly(n_obs: int, n: int) -> np.ndarray:
    """Positions of `n` cells, evenly spread over all (fewer if there are fewer)."""
    return np.unique(np.linspace(0, n_obs - 1, min(n, n_obs)).astype(int))


def embed(module: Any, source: Source, *, device: torch.device, batch_size: int) -> np.ndarray:
    """Embedding of every cell in eval mode: float32 of shape ``(cells, width)``, C-contiguous.

    Depends on each cell alone, neither on the order of the cells nor on the batch size.

    Raises
    ------
    TrainingError
        If the embedding is not finite.
    """
    module.to(device).eval()
    parts = []
    with torch.no_grad():
        for start in range(0, source.n_obs, batch_size):
            index = np.arange(start, min(start + batch_size, source.n_obs))
            parts.append(module.embed(source.take(index, device)).float().cpu().numpy())
    embedding = np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)
    bad = int((~np.isfinite(embedding)).any(axis=1).sum())
    if bad:
        msg = f"The embedding of {bad} of {source.n_obs} cells is not finite: the weights or the values are not."
        raise TrainingError(
            msg, code="embedding_not_finite", parameter="model", fix="Check the data with ssl.pp.check."
        )
    return embedding
