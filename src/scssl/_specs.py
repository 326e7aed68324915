"""Descriptions of methods, views, metrics, tasks and data sets: literals, read without importing anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MethodSpec:
    """What a method is, readable without importing it."""

    name: str
    title: str
    family: str
    """``contrastive``, ``redundancy``, ``distillation``, ``masked``, ``generative``, ``baseline`` or ``control``."""
    reference: str = ""
    """BibTeX key in ``references.bib``."""
    summary: str = ""
    """One sentence: when to choose it."""
    values: str = "log"
    """Values it reads: ``"log"`` (log-normalised) or ``"counts"``, which are found in ``X`` or ``layers["counts"]``."""
    kinds: tuple[tuple[str, ...], ...] = ()
    """Combinations of modalities it takes, e.g. ``(("rna", "protein"),)``; empty: any, fused."""
    needs: tuple[str, ...] = ()
    """Requirements out of ``"batches"``, ``"modalities"`` (two or more), ``"paired"``, ``"weights"``, ``"labels"``, ``"gene_sets"``."""
    gives: tuple[str, ...] = ()
    """Answers beside the embedding, out of ``"values"`` (it decodes), ``"labels"``, ``"gene_weights"``, ``"history"``."""
    inductive: bool = True
    """Whether it embeds cells that it was not fitted to."""
    sees_labels: bool = False
    """Whether it learns from labels; such lines are marked and left out of rankings."""
    compares: str = "sample"
    """How cells are compared when there is a batch key and nothing else is asked for: ``mask``, ``sample`` or ``off``."""
    masks: bool = False
    """Whether the loss can leave cells of other batches out of account (``Batch.group``): ``within_batch="mask"``."""
    extra: str = ""
    """Extra of the package that it needs, e.g. ``"scvi"``; empty: none."""

    @property
    def trains(self) -> bool:
        """Whether it is trained step by step."""
        return "history" in self.gives

    @property
    def decodes(self) -> bool:
        """Whether it can reconstruct its input."""
        return "values" in self.gives


@dataclass(frozen=True)
class ViewSpec:
    """What a view does."""

    name: str
    summary: str
    reference: str = ""


@dataclass(frozen=True)
class MetricSpec:
    """What a metric measures and how it may be read."""

    name: str
    title: str
    task: str
    group: str
    """Column block of the table: ``bio`` and ``batch`` make the totals of scIB, the others stand for themselves."""
    needs: tuple[str, ...]
    """Inputs by name, out of those that the task offers (``embedding``, ``labels``, ``batch``, ``neighbors`` ...)."""
    lower: float = 0.0
    upper: float = 1.0
    better: str = "higher"
    reference: str = ""
    default: bool = True
    """Whether the task computes it unless told otherwise."""
    main: bool = False
    """Whether it is the main number of its task."""
    floor: str = "random"
    """The embedding that no real one falls below: ``random`` noise; ``batch``, which knows the batch of a cell and nothing
    else, where noise is as good as it gets (it mixes batches perfectly); empty if there is none."""
    scib: str = ""
    """Function of scib-metrics that computes it with ``engine="scib-metrics"``; empty if there is none."""
    summary: str = ""


@dataclass(frozen=True)
class TaskSpec:
    """What a task asks of an embedding."""

    name: str
    title: str
    needs: tuple[str, ...]
    """What the task cannot do without: ``batch_key``, ``label_key``, ``target`` (a modality), ``values``."""
    inductive: bool = False
    """Whether models for it are trained without the cells that are scored."""
    embeds: str = "all"
    """What cells are embedded from: ``all`` modalities, or ``source``, the modality ``Cells.source`` and nothing else."""
    own: str = ""
    """What a model may answer itself beside its embedding: ``labels``, ``target`` or ``values``; empty if nothing."""
    controls: tuple[str, ...] = ()
    """Names of the trivial predictors that it scores beside ``random`` and ``oracle``."""
    summary: str = ""
    reference: str = ""


@dataclass(frozen=True)
class DatasetSpec:
    """Where a data set comes from and what is in it."""

    name: str
    title: str
    n_obs: int
    n_vars: int
    modalities: tuple[str, ...] = ("rna",)
    licence: str = ""
    reference: str = ""
    source: str = ""
    """``bundled`` (no network), ``simulated`` or an address."""
    summary: str = ""
