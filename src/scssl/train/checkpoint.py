"""State of an unfinished run: one safetensors file, replaced atomically after every epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scssl import _files
from scssl._errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from scssl._types import Json
    from scssl.train.loop import Run

NAME = "checkpoint.safetensors"
FORMAT = 2  # 2: optimisers by the name of their phase


def path_in(folder: str | Path) -> Path:
    """The checkpoint file of a folder."""
    return Path(folder) / NAME


def save(
    folder: str | Path,
    module: nn.Module,
    optimizers: Mapping[str, torch.optim.Optimizer],
    *,
    run: Run,
    history: list[Json],
    best: Mapping[str, Tensor],
) -> None:
    """Write weights, optimisers by name, history and the best weights so far, where they are kept.

    Random states need not be kept: every draw is derived from the seed. The names of the optimisers are those of the phase.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {f"module/{k}": v.contiguous() for k, v in _state(module).items()}
    for name, optimizer in optimizers.items():
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer/{name}/{i}/{k}": torch.as_tensor(v).clone() for k, v in state.items() if v is not None
            }
    tensors |= {f"best/{k}": v.contiguous() for k, v in best.items()}
    note = {"format": FORMAT, "run_id": run.run_id, "max_epochs": run.max_epochs, "history": history}
    with _files.atomic(path_in(folder)) as temporary:
        save_file(tensors, temporary, metadata={"scssl": json.dumps(note)})


@dataclass(frozen=True)
class Found:
    """What a checkpoint holds."""

    tensors: dict[str, Tensor]
    history: list[dict[str, Any]]

    @property
    def best(self) -> dict[str, Tensor]:
        """The best weights so far; empty if none were kept."""
        return _below(self.tensors, "best/")

    def restore(self, module: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
        """Load weights, buffers and the optimisers of the phase."""
        saved = _below(self.tensors, "module/")
        module.load_state_dict({name: saved[name] for name in module.state_dict()})
        for name, buffer in module.named_buffers():
            buffer.copy_(saved[name])
        for name, optimizer in optimizers.items():
            current = optimizer.state_dict()
            for key, value in _below(self.tensors, f"optimizer/{name}/").items():
                i, what = key.split("/")
                current["state"].setdefault(int(i), {})[what] = value
            optimizer.load_state_dict(current)


def read(folder: str | Path, *, run: Run) -> Found | None:
    """The checkpoint of a run; ``None`` if there is none yet.

    Raises
    ------
    CheckpointError
        If the file is damaged, of a newer format, of another run (method, configuration, data, gene sets or seed), of a longer one,
        or of one of another length where the method goes by the share of the run that is done.
    """
    path = path_in(folder)
    if not path.exists():
        return None
    tensors, note = _read(path)
    if note.get("run_id") != run.run_id:
        msg = (
            f"{path} belongs to another run: its method, configuration, seed, data or gene sets differ from this call."
        )
        fix = "Repeat the call with the same arguments and data, or choose another checkpoint_dir."
        raise CheckpointError(msg, code="other_run", parameter="checkpoint_dir", fix=fix)
    _check_length(path, note, run)
    return Found(tensors, note["history"])


def _check_length(path: Path, note: Json, run: Run) -> None:
    """Refuse to resume where the result would not be that of a run without a stop."""
    done, planned = len(note["history"]), note["max_epochs"]
    if done > run.max_epochs:
        msg = f"{path} holds {done} epochs; max_epochs={run.max_epochs} asks for fewer, and those weights are gone."
        fix = f"Pass max_epochs={done} to have what is there, or train anew with resume=False."
        raise CheckpointError(msg, code="longer_run", parameter="max_epochs", fix=fix)
    if run.paced and planned != run.max_epochs:
        msg = (
            f"{path} is of a run of {planned} epochs, max_epochs={run.max_epochs}: {run.method!r} changes its momentum over "
            "the whole run, and the two together would be neither."
        )
        fix = f"Pass max_epochs={planned}, or train anew with resume=False."
        raise CheckpointError(msg, code="other_length", parameter="max_epochs", fix=fix)


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Weights and all buffers, also those that a saved model does without (a queue of keys)."""
    return {**dict(module.named_buffers()), **module.state_dict()}


def _read(path: Path) -> tuple[dict[str, Tensor], Json]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {}).get("scssl", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError) as error:
        msg = f"{path} cannot be read ({error}): {path.stat().st_size} bytes."
        fix = "Delete it to start the run again."
        raise CheckpointError(msg, code="damaged_checkpoint", parameter="checkpoint_dir", fix=fix) from error
    if note.get("format") != FORMAT:
        msg = f"{path} has checkpoint format {note.get('format')}, this version reads {FORMAT}."
        raise CheckpointError(msg, code="unknown_format", parameter="checkpoint_dir", fix="Update scssl.")
    return tensors, note


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
