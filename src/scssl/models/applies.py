"""Whether a method can be applied to some data, known from its description before anything is read or trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scssl import _extras, _keys
from scssl._parts import modalities
from scssl._validate import Problem
from scssl._words import listed
from scssl.data.columns import as_text, column
from scssl.data.container import parts_of
from scssl.data.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scssl._specs import MethodSpec
    from scssl._types import Data, Facts

BATCHES, SEVERAL, PAIRED, WEIGHTS, LABELS = "batches", "modalities", "paired", "weights", "labels"


def obstacles(
    spec: MethodSpec,
    data: object,
    *,
    config: Facts,
    batch_key: str | None = None,
    wanted: Sequence[str] | str | None = None,
) -> Iterator[Problem]:
    """Reasons why a method cannot be fitted to some data: a missing library, modality, batch, label or file.

    Parameters
    ----------
    spec
        Description of the method.
    data
        AnnData or MuData.
    config
        Fields of the configuration that were given: ``weights``, ``label_key``.
    batch_key
        Column of the batches.
    wanted
        Modalities that were asked for.
    """
    who = f"method {spec.name!r}"
    lacking = _extras.missing(spec.extra)
    if lacking:
        msg = f"{who} needs {', '.join(lacking)}, which is not installed here."
        yield Problem("missing_extra", "method", msg, f"Install it: {_extras.install(spec.extra)}.")
    taken, _ = modalities_for(spec, data, wanted)
    if not taken:
        has = listed(_asked(data, wanted))
        taken_by = " or ".join(" + ".join(kinds) for kinds in spec.kinds)
        msg = f"{who} takes {taken_by}; the data have {has}."
        fix = "Name modalities 'rna', 'prot' and 'atac', so that it is known which is which, or choose another method."
        yield Problem("needs_modalities", "modalities", msg, fix)
    if SEVERAL in spec.needs and len(taken) == 1:
        msg = f"{who} needs two modalities or more; there is {listed(taken)} alone."
        fix = "Pass a MuData, or choose a method that takes one modality."
        yield Problem("needs_modalities", "modalities", msg, fix)
    if BATCHES in spec.needs:
        yield from _batches(who, data, batch_key)
    if LABELS in spec.needs and not config.get("label_key"):
        msg = f"{who} learns from labels and was not told where they are."
        yield Problem("needs_label_key", "label_key", msg, "Pass label_key=, e.g. 'cell_type'.")
    if WEIGHTS in spec.needs and not config.get("weights"):
        msg = f"{who} starts from published weights and was not told where they are."
        yield Problem("needs_weights", "weights", msg, "Pass weights=, the path of the checkpoint.")
    if PAIRED in spec.needs and taken:
        yield from _paired(who, data, taken)


def modalities_for(spec: MethodSpec, data: object, wanted: Sequence[str] | str | None) -> tuple[list[str], str]:
    """The modalities of the data that a method takes, and a sentence if others are left out.

    Empty if it cannot take what there is. A method without `MethodSpec.kinds` takes all.
    """
    there = _asked(data, wanted)
    if not spec.kinds:
        return there, ""
    for kinds in spec.kinds:
        found = [next((name for name in there if kind_of(name).name == kind), "") for kind in kinds]
        if all(found):
            left = [name for name in there if name not in found]
            note = f"method {spec.name!r} takes {listed(found)}; {listed(left)} is left out."
            return found, note if left else ""
    return [], ""


def _asked(data: object, wanted: Sequence[str] | str | None) -> list[str]:
    return list(parts_of(data, wanted)) if wanted is not None else modalities(data) or [_keys.DEFAULT_MODALITY]


def _batches(who: str, data: object, batch_key: str | None) -> Iterator[Problem]:
    if batch_key is None:
        msg = f"{who} needs to know the batches."
        yield Problem("needs_batch_key", "batch_key", msg, "Pass batch_key=, e.g. 'batch'.")
    elif len(names := as_text(column(data, batch_key, parameter="batch_key")).unique()) < 2:
        msg = f"{who} needs two batches, and {batch_key!r} holds one: {names[0]!r}."
        yield Problem("needs_batches", "batch_key", msg, "Choose a method that needs none.")


def _paired(who: str, data: Data, taken: Sequence[str]) -> Iterator[Problem]:
    for name, part in parts_of(data, taken).items():
        if part.n_obs < data.n_obs:
            msg = f"{who} needs cells with all modalities, and {data.n_obs - part.n_obs} of {data.n_obs} lack {name!r}."
            yield Problem("needs_paired", "data", msg, "Drop them: muon.pp.intersect_obs(mdata).")
