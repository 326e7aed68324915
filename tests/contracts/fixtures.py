"""Methods of kinds that the registry does not have yet, as small as they can be; registered for the time of a test."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn import functional as F

from scssl import _random
from scssl._registry import METHODS
from scssl._specs import MethodSpec
from scssl.methods import _base
from scssl.methods._trained import Trained
from scssl.train.batches import Batches
from scssl.train.phase import Optimizer, Phase, Turn


def side_by_side(cells, names):
    """The values of all modalities as one sparse matrix."""
    return sp.hstack([cells.matrices[name] for name in names], format="csr")


class Projected(_base.Method):
    """A random projection to orthogonal axes and back, in NumPy: a method that has nothing to do with torch."""

    def fit(self, cells, run):
        """Draw the axes."""
        normal = _random.generator(run.seed, "projected").normal(size=(sum(self.sizes.values()), self.config.width))
        self.axes = np.linalg.qr(normal)[0].astype(np.float32)
        return []

    @property
    def n_dims(self):
        """There are no more axes than genes."""
        return self.axes.shape[1]

    def embed(self, batch):
        """Coordinates of the cells."""
        return side_by_side(batch, self.sizes) @ self.axes

    def decoded(self, cells, index):
        """The cells in the plane of the axes."""
        back = self.embedded(cells, index) @ self.axes.T
        ends = np.cumsum(list(self.sizes.values()))[:-1]
        return dict(zip(self.sizes, np.split(back, ends, axis=1), strict=True))

    def state(self):
        """The axes, and a note."""
        return _base.State({"axes": self.axes}, {"drawn": {"axes": self.axes.shape[1]}})

    @classmethod
    def restored(cls, config, genes, codes, state):
        """The same axes."""
        made = cls(config, {name: len(names) for name, names in genes.items()}, codes["batch"])
        made.axes = np.asarray(state.tensors["axes"])
        assert state.meta == {"drawn": {"axes": made.axes.shape[1]}}
        return made


class Placed(_base.Transductive):
    """Each cell beside the mean of its batch: other cells have no place."""

    def fit(self, cells, run):
        """Place the cells of each batch around zero."""
        axes = _random.generator(run.seed, "placed").normal(size=(sum(self.sizes.values()), self.config.width))
        self.fitted = (side_by_side(cells, self.sizes) @ axes).astype(np.float32)
        for code in range(len(cells.batch_names)):
            self.fitted[cells.batch == code] -= self.fitted[cells.batch == code].mean(axis=0)
        return []


@dataclass(frozen=True)
class ByStepsConfig(_base.Config):
    """What the loop needs to know and nothing else."""

    width: int = field(default=8, metadata={"at_least": 1})
    max_epochs: int = field(default=12, metadata={"at_least": 1})
    batch_size: int = field(default=32, metadata={"at_least": 2})
    learning_rate: float = field(default=5e-3, metadata={"above": 0})
    weight_decay: float = 0.0
    held_out: float = field(default=0.0, metadata={"at_least": 0, "at_most": 0.5})


class BySteps(Trained):
    """A small encoder of log-normalised values side by side; norms and dropout, so that modes and seeds matter."""

    Config = ByStepsConfig

    def build(self):
        """The encoder."""
        genes, width = sum(self.sizes.values()), self.config.width
        self.encoder = nn.Sequential(nn.Linear(genes, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1))
        self.encoder.append(nn.Linear(16, width))

    def represent(self, batch):
        """Its output."""
        return self.encoder(torch.cat([batch.x[name] for name in self.sizes], dim=1))


class Adversarial(BySteps):
    """An autoencoder whose embedding a discriminator cannot tell from normal noise: three phases, two optimisers in each."""

    def build(self):
        """Encoder, generator, discriminator."""
        super().build()
        self.generator = nn.Linear(self.config.width, sum(self.sizes.values()))
        self.discriminator = nn.Sequential(nn.Linear(self.config.width, 16), nn.ReLU(), nn.Linear(16, 1))

    def phases(self):
        """The discriminator learns first, then both, then the generator has more steps."""
        by_momentum = Optimizer("sgd", learning_rate=0.02, momentum=0.9)
        tells = Turn(("discriminator",), "told_apart", optimizer=by_momentum)
        twice = Turn(("discriminator",), "told_apart", steps=2, optimizer=Optimizer())
        deceives = Turn(("encoder", "generator"), "deceived", optimizer=Optimizer("adamw", weight_decay=0.01))
        more = Turn(("encoder", "generator"), "deceived", steps=2, optimizer=by_momentum)
        return (
            Phase("warm-up", 1.0, (twice, deceives)),
            Phase("contest", 1.0, (tells, deceives)),
            Phase("end", 1.0, (tells, more)),
        )

    def inputs(self, batch, draw):
        """The cells, and noise to compare their embedding with."""
        device = batch.cell.device
        shape = (len(batch), self.config.width)
        return batch, torch.randn(shape, generator=draw.generator("noise", device), device=device)

    def told_apart(self, inputs):
        """How well the discriminator tells noise from cells."""
        batch, noise = inputs
        seen = self.discriminator(torch.cat((noise, self.represent(batch).detach())))
        truth = torch.zeros_like(seen)
        truth[: len(noise)] = 1
        loss = F.binary_cross_entropy_with_logits(seen, truth)
        return {"loss": loss, "told_apart": loss.detach()}

    def deceived(self, inputs):
        """How well cells are reconstructed, and pass for noise."""
        batch, _ = inputs
        z = self.represent(batch)
        error = sum((made - batch.x[name]).square().mean() for name, made in self.decode(z).items())
        seen = self.discriminator(z)
        passed = F.binary_cross_entropy_with_logits(seen, torch.ones_like(seen))
        return {"loss": error + 0.1 * passed, "reconstruction": error.detach()}

    objective = deceived

    def decode(self, embedding):
        """Reconstructed values."""
        return dict(zip(self.sizes, self.generator(embedding).split(list(self.sizes.values()), dim=1), strict=True))


class Paired(BySteps):
    """A cell and a cell near it agree; who is near is found again in every third epoch, with the network of that time."""

    near: ClassVar[int] = 3
    refined: ClassVar[int] = 3

    def start(self, cells):
        """Room for the neighbours: no cell is its own."""
        around = (torch.arange(cells.n_obs)[:, None] + torch.arange(1, self.near + 1)) % cells.n_obs
        self.register_buffer("neighbors", around, persistent=False)
        self.register_buffer("mutual", torch.ones(cells.n_obs, dtype=torch.bool), persistent=False)

    def before_epoch(self, epoch, cells):
        """Find the neighbours of every cell again, and which cells are chosen by a neighbour of theirs."""
        if epoch % self.refined:
            return
        with torch.no_grad():
            z = self.embed(Batches(cells, self.device).take(np.arange(cells.n_obs)))
        distance = torch.cdist(z.double(), z.double()).fill_diagonal_(float("inf"))
        self.neighbors.copy_(distance.topk(self.near, largest=False).indices)
        chosen = torch.zeros_like(distance, dtype=torch.bool).scatter_(1, self.neighbors, value=True)
        self.mutual.copy_((chosen & chosen.T).any(dim=1))

    def trains_on(self, cells):
        """Cells with a mutual neighbour."""
        return np.flatnonzero(self.mutual.cpu().numpy())

    def inputs(self, batch, draw):
        """The cells, and for each one of its neighbours."""
        device = batch.cell.device
        which = torch.randint(self.near, (len(batch),), generator=draw.generator("pairs", device), device=device)
        partner = self.neighbors[torch.from_numpy(draw.index).to(device)].gather(1, which[:, None])[:, 0].cpu().numpy()
        return batch, batch.with_x({name: draw.batches.values(name, partner) for name in self.sizes})

    def objective(self, inputs):
        """Pairs agree, other cells of the mini-batch do not."""
        a, b = (F.normalize(self.represent(side).float(), dim=1) for side in inputs)
        return {"loss": F.cross_entropy(a @ b.T / 0.2, torch.arange(len(a), device=a.device))}

    def compared(self, batch, draw):
        """A cell and its neighbour."""
        return self.inputs(batch, draw)


class Tokens(Trained):
    """Counts as tokens of a fixed vocabulary: the most expressed genes of a cell, each with the bin of its count."""

    Config = ByStepsConfig
    vocabulary: ClassVar[tuple[str, ...]] = tuple(f"gene{i:05d}" for i in range(400))
    length: ClassVar[int] = 12
    bins: ClassVar[int] = 6
    nothing: ClassVar[int] = 0
    unknown: ClassVar[int] = 1

    def build(self):
        """Tokens of genes and bins have vectors of their own; which token a gene is comes with the cells."""
        width = self.config.width
        self.register_buffer("token_of", torch.full((self.sizes["rna"],), self.unknown))
        self.genes = nn.Embedding(len(self.vocabulary) + 2, 16, padding_idx=self.nothing)
        self.amounts = nn.Embedding(self.bins, 16)
        self.encoder = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, width))
        self.decoder = nn.Linear(width, self.sizes["rna"])

    def start(self, cells):
        """Look the names of the genes up."""
        place = {name: i + 2 for i, name in enumerate(self.vocabulary)}
        self.token_of.copy_(torch.tensor([place.get(str(name), self.unknown) for name in cells.genes["rna"]]))

    def tokens(self, batch):
        """Integer tokens of the genes with the highest counts, and bins of the counts, shape ``(cells, length)``."""
        counts = batch.x["rna"]
        assert bool((counts == counts.round()).all()), "values='counts' has to give counts"
        highest, genes = counts.sort(dim=1, descending=True, stable=True)
        highest, genes = highest[:, : self.length], genes[:, : self.length]
        amounts = torch.log2(highest + 1).long().clamp(max=self.bins - 1)
        return torch.where(highest > 0, self.token_of[genes], self.nothing), amounts

    def inputs(self, batch, draw):
        """Tokens of which a fifth is hidden, and the cells."""
        tokens, amounts = self.tokens(batch)
        drawn = torch.rand(tokens.shape, generator=draw.generator("hidden", tokens.device), device=tokens.device)
        return torch.where(drawn < 0.2, self.nothing, tokens), amounts, batch

    def pooled(self, tokens, amounts):
        """The embedding of a set of tokens."""
        there = (tokens != self.nothing)[..., None]
        summed = ((self.genes(tokens) + self.amounts(amounts)) * there).sum(dim=1)
        return self.encoder(summed / there.sum(dim=1).clamp(min=1))

    def represent(self, batch):
        """The embedding of all tokens."""
        return self.pooled(*self.tokens(batch))

    def decode(self, embedding):
        """Expected counts."""
        return {"rna": F.softplus(self.decoder(embedding))}

    def objective(self, inputs):
        """Poisson likelihood of all counts, from the tokens that are left."""
        tokens, amounts, batch = inputs
        expected = self.decode(self.pooled(tokens, amounts))["rna"]
        return {"loss": F.poisson_nll_loss(expected, batch.x["rna"], log_input=False)}


KINDS = {
    "projected": (Projected, {"family": "control", "compares": "off", "gives": ("values",)}),
    "placed": (Placed, {"family": "control", "compares": "off", "inductive": False}),
    "adversarial": (Adversarial, {"family": "generative", "compares": "off", "gives": ("values", "history")}),
    "paired": (Paired, {"family": "contrastive", "gives": ("history",)}),
    "tokens": (
        Tokens,
        {
            "family": "masked",
            "values": "counts",
            "kinds": (("rna",),),
            "compares": "off",
            "gives": ("values", "history"),
        },
    ),
}
SPECS = {
    name: MethodSpec(name, title=name, summary=f"{name}, for tests", **about) for name, (_, about) in KINDS.items()
}


@contextmanager
def registered():
    """Inside the block these methods are in the registry."""
    for name, (kind, about) in KINDS.items():
        METHODS.register(name, title=name, summary=SPECS[name].summary, **about)(kind)
    try:
        yield
    finally:
        for name in KINDS:
            METHODS._added.pop(name, None)
            METHODS._objects.pop(name, None)
