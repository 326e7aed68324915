"""From data and a method's name to a trained model: the one path, for ``tl.fit`` and for the benchmark."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from scssl import _clock, _files, _keys, _random
from scssl._errors import InputError, told
from scssl._parts import modalities, multimodal
from scssl._registry import METHODS
from scssl._validate import WARNING, Problem, enforce
from scssl._validate import columns as check_columns
from scssl._validate import config as check_config
from scssl._validate import matrix as check_matrix
from scssl._validate import names as check_names
from scssl._validate import objects as check_objects
from scssl._validate import paths as check_paths
from scssl._validate import sizes as check_sizes
from scssl._validate.beside import against
from scssl._validate.matrix import Aim
from scssl._validate.on_scale import Look, Place, counts_of
from scssl._validate.places import groups
from scssl._validate.scale import as_text, from_text
from scssl._validate.silent import shares_as_text
from scssl.data.cells import COUNTS, Cells
from scssl.data.container import counts_layer, parts_of, told_of
from scssl.data.kinds import kind_of
from scssl.methods._network import network_of
from scssl.methods._trained import Trained
from scssl.models.applies import LABELS, modalities_for, obstacles
from scssl.models.holdout import at_random
from scssl.models.model import Model
from scssl.models.record import Record, identity_of
from scssl.models.transfer import said, transfer
from scssl.train import monitor
from scssl.train.device import resolve as resolve_device
from scssl.train.device import seeded
from scssl.train.loop import Run
from scssl.train.sampler import MASK, OFF, SAMPLE, WITHIN_BATCH, Sampler
from scssl.views._base import View
from scssl.views.pipeline import MIXING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from anndata import AnnData

    from scssl._specs import MethodSpec
    from scssl.methods._base import Config, Method, Prepared
    from scssl.train.loop import History


_NO_MIXING = (
    "The matrix stays on disk (settings.in_memory_mb), where neighbours in other batches are not at hand: views 'clear' are "
    "used instead of 'mixing'."
)


@dataclass(frozen=True)
class Request:
    """Everything that decides a trained model, besides the data."""

    method: str
    config: dict[str, Any] = field(default_factory=dict)
    preset: str = "default"
    layer: str | None = None
    batch_key: str | None = None
    modalities: Sequence[str] | None = None
    mask_by: str | None = _keys.HIGHLY_VARIABLE
    within_batch: str | None = None
    seed: int = 0
    accelerator: str = "auto"
    devices: int | str = "auto"
    precision: str = "auto"
    checkpoint_dir: str | os.PathLike[str] | None = None
    resume: bool = False
    progress: bool | None = None
    init: Model | None = None


def problems(data: object, request: Request, looks: dict[str, Look] | None = None) -> Iterator[Problem]:
    """What is wrong with the data for this request; what was measured of each modality is put into `looks`."""
    looks = {} if looks is None else looks
    spec = METHODS.describe(request.method)
    yield from check_config.seed(request.seed)
    yield from check_objects.container(data)
    if request.checkpoint_dir is not None:
        yield from check_paths.target(request.checkpoint_dir, parameter="checkpoint_dir")
    yield from obstacles(spec, data, config=request.config, batch_key=request.batch_key, wanted=request.modalities)
    taken, note = modalities_for(spec, data, request.modalities)
    if note:
        yield Problem("modalities_left_out", "modalities", note, severity=WARNING)
    parts = parts_of(data, taken if modalities(data) else request.modalities)
    if multimodal(data):
        yield from check_objects.measured(data, list(parts), parameter="modalities")
    for name, part in parts.items():
        kind = kind_of(name).name
        aim = Aim(kind, groups(data, request.batch_key, part.obs_names), keep=partial(looks.__setitem__, name))
        for found in (
            check_sizes.sizes(part),
            check_names.names(part),
            check_matrix.matrix(
                part,
                layer=_layer(part, spec, request),
                expects=check_matrix.expected(spec.values, kind),
                genes=request.mask_by,
                aim=aim,
            ),
        ):
            yield from told_of(data, name, found)
    if request.batch_key is not None:
        yield from check_columns.batch(data, request.batch_key)
    if request.init is not None and spec.values != COUNTS:
        yield from _beside(request.init, parts, looks, request)


def _beside(init: Model, parts: dict[str, AnnData], looks: dict[str, Look], request: Request) -> Iterator[Problem]:
    """Whether values are on the scale of the model that training starts from."""
    for name, known in from_text(init.record.get("scale", "")).items():
        if name in looks:
            slot = "X" if request.layer is None else f"layers[{request.layer!r}]"
            place = Place(slot, "init", counts_of(parts[name], slot), kind_of(name).name)
            yield from against(known, looks[name].scale, place, coverage=0, like="like=init")  # of other genes


def within_batch(spec: MethodSpec, request: Request) -> str:
    """How cells are compared: what was asked for, else what suits the method.

    Raises
    ------
    InputError
        For an unknown word, without a batch key, or ``"mask"`` for a loss that takes each cell for itself.
    """
    asked = request.within_batch
    if asked is None:
        no_batches = request.batch_key is None or request.preset == "paper" or not spec.trains
        return OFF if no_batches else spec.compares
    if asked not in WITHIN_BATCH:
        msg = f"within_batch={asked!r} is not one of {', '.join(map(repr, WITHIN_BATCH))}."
        raise InputError(msg, code="bad_within_batch", parameter="within_batch")
    if asked != OFF and request.batch_key is None:
        msg = f"within_batch={asked!r} needs to know the batches."
        raise InputError(msg, code="needs_batch_key", parameter="batch_key", fix="Pass batch_key=, e.g. 'batch'.")
    if asked == MASK and not spec.masks:
        msg = f"within_batch='mask' leaves cells out of a comparison, and the loss of {spec.name!r} compares no cells."
        raise InputError(msg, code="bad_within_batch", parameter="within_batch", fix="Use within_batch='sample'.")
    return asked


def fit(data: object, request: Request) -> Model:
    """Check, train, and describe what was done. The data are not changed."""
    return fitted(data, request)[0]


def fitted(data: object, request: Request) -> tuple[Model, Cells]:
    """As :func:`fit`, with the cells that were read, which need not be checked and read again to be embedded."""
    kind = METHODS.get(request.method)
    config = kind.configure(request.preset, **request.config)
    compared = within_batch(kind.spec, request)
    device = resolve_device(request.accelerator)
    looks: dict[str, Look] = {}
    notes = enforce(problems(data, request, looks))
    taken, _ = modalities_for(kind.spec, data, request.modalities)
    cells = Cells.from_data(
        data,
        layer=request.layer,
        batch_key=request.batch_key,
        label_key=config.label_key if LABELS in kind.spec.needs else None,
        modalities=taken if kind.spec.kinds else request.modalities,
        mask_by=request.mask_by,
        values=kind.spec.values,
        stream=_may_stream(kind.spec, config, request),
    )
    if _mixes(config, cells, request, compared):
        if cells.stream is None:
            config = kind.configure(request.preset, **request.config, views=MIXING)
        else:
            notes += told(_NO_MIXING)
    started = time.perf_counter()
    prepared = kind.prepare(config, cells)
    with seeded(_random.derive(request.seed, "init"), device):
        method = kind(config, cells.sizes, cells.batch_names)
    started_from = _start(method, cells, request.init, notes)
    identity = identity_of(data, cells, layer=request.layer, batch_key=request.batch_key)
    run = _run(method, cells, request, compared=compared, prepared=prepared, identity=identity + started_from)
    notes += told(run.sampler.note)
    history = method.fit(cells, run)
    collapsed = _collapsed(history, config)
    notes += told(collapsed)
    plain = method.plain_config()
    record = Record(
        method=request.method,
        preset=request.preset,
        config=_files.canonical(plain),
        config_id=_files.fingerprint([request.method, plain, compared], 12),
        seed=int(request.seed),
        layer=request.layer or "",
        batch_key=request.batch_key or "",
        within_batch=compared,
        n_obs=cells.n_obs,
        var_hash=_genes_hash(cells),
        data_id=identity,
        epochs=len(history),
        seconds=time.perf_counter() - started,
        device=str(device),
        modalities=list(cells.sizes),
        values=cells.values,
        n_vars=sum(cells.sizes.values()),
        in_memory=cells.stream is None,
        init=started_from,
        peak_mb=_clock.peak_mb(),
        collapsed=collapsed,
        warnings="\n".join(notes),
        **_measured(looks, cells, config),
    )
    return Model(method, cells.genes, record.plain(), pd.DataFrame(history), accelerator=request.accelerator), cells


def _measured(looks: dict[str, Look], cells: Cells, config: object) -> dict[str, str]:
    """Scale and detection of the genes of the model, for its record."""
    scales = {name: look.scale for name, look in looks.items()}
    if getattr(config, "total", None):  # the network scales each cell itself
        scales = {name: replace(scale, totals=(), sums=()) for name, scale in scales.items()}
    shares = {}
    for name, look in looks.items():
        genes = pd.Index(cells.parts[name].var_names.astype(str)).get_indexer(cells.genes[name])
        shares[name] = shares_as_text(look.detected[genes], look.n_obs)
    return {"scale": as_text(scales), "detected": _files.canonical(shares)}


def _layer(part: object, spec: MethodSpec, request: Request) -> str | None:
    """Where the values of a modality are read."""
    return counts_layer(part, request.layer) if spec.values == COUNTS else request.layer


def _collapsed(history: History, config: Config) -> str:
    """A sentence if the embedding lost most of its dimensions, of methods whose history says so."""
    rank = history[-1].get("effective_rank") if history else None
    return "" if rank is None else monitor.collapse_note(rank, config.width)


def _start(method: Method, cells: Cells, init: Model | None, notes: list[str]) -> str:
    """Set the weights that are not drawn: from the cells, or from another model."""
    if isinstance(method, Trained):
        method.start(cells)
    return "" if init is None else _warm(method, cells, init, notes)


def _warm(method: Method, cells: Cells, init: Model, notes: list[str]) -> str:
    """Start from the weights of another model; what that was and how much of it was of use, as JSON."""
    coverage = transfer(network_of(method, parameter="init"), cells.genes, init)
    notes += told(*said(coverage))
    about = {name: init.record[name] for name in ("config_id", "data_id", "seed", "epochs", "created")}
    return _files.canonical({**about, "coverage": coverage})


def _mixes(config: Config, cells: Cells, request: Request, compared: str) -> bool:
    """Whether the default views look for the same kind of cell in other batches: where there are several to compare."""
    asked = "views" in request.config or request.preset == "paper" or not hasattr(config, "views")
    return not asked and compared != OFF and len(cells.batch_names) > 1


def _may_stream(spec: MethodSpec, config: Config, request: Request) -> bool:
    """Whether cells may stay on disk: of methods that are trained by steps, in one process, whose views need not know all."""
    views = getattr(config, "views", ())
    return spec.trains and request.devices in ("auto", 1) and all(type(v).prepare is View.prepare for v in views)


def _run(
    method: Method, cells: Cells, request: Request, *, compared: str, prepared: Prepared | None, identity: str
) -> Run:
    config = method.config
    batch_size = getattr(config, "batch_size", 256)
    if compared == SAMPLE and cells.batch is not None:
        sampler = Sampler.by_batch(cells.batch, list(cells.batch_names), batch_size)
    else:
        sampler = Sampler.mixed(cells.n_obs, batch_size)
    held = at_random(cells.n_obs, getattr(config, "held_out", 0.0), seed=request.seed)
    sampler = sampler.without(held) if len(held) else sampler
    if cells.stream is not None:
        sampler = sampler.in_blocks(cells.stream.block)
    plain = method.plain_config()
    plain.pop("max_epochs", None)  # a longer run continues a shorter one
    about = [request.method, plain, request.seed, identity, compared, request.precision, _genes_hash(cells)]
    if prepared is not None:
        about.append(prepared.identity)  # gene sets stand beside the data and the configuration
    return Run(
        method=request.method,
        seed=request.seed,
        device=resolve_device(request.accelerator),
        sampler=sampler,
        max_epochs=getattr(config, "max_epochs", 0),
        learning_rate=getattr(config, "learning_rate", 0.0),
        weight_decay=getattr(config, "weight_decay", 0.0),
        held_out=held if len(held) else None,
        within_groups=compared == MASK,
        prepared=prepared,
        ahead=isinstance(method, Trained) and method.costs_inputs,
        accelerator=request.accelerator,
        devices=request.devices,
        patience=getattr(config, "patience", None),
        precision=request.precision,
        checkpoint_dir=Path(request.checkpoint_dir) if request.checkpoint_dir else None,
        run_id=_files.fingerprint(about),
        resume=request.resume,
        paced=isinstance(method, Trained) and method.paced,
        progress=request.progress,
    )


def _genes_hash(cells: Cells) -> str:
    return _files.fingerprint({name: names.tolist() for name, names in cells.genes.items()})
