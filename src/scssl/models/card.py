"""The page of a saved model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scssl._words import listed

if TYPE_CHECKING:
    from scssl.models.model import Model


def card(model: Model) -> str:
    """A page in Markdown that says what the model is, how it was made and how to use it."""
    spec, r = model.module.spec, model.record
    genes = ", ".join(f"{len(names)} features of {name}" for name, names in model.features.items())
    lines = [
        f"# {spec.title} model",
        "",
        f"Made by scssl {r['version']} on {r['created']}: {spec.summary}.",
        "",
        "| | |",
        "|---|---|",
        f"| method | `{model.method}` (preset `{r['preset']}`) |",
        f"| input | {genes}; {spec.values} values; layer {r['layer'] or 'X'} |",
        f"| embedding | {model.n_dims} dimensions |",
        f"| trained on | {r['n_obs']} cells, data `{r['data_id']}`, batch key `{r['batch_key'] or 'none'}` |",
        *([f"| labels | {listed(list(model.classes), 20)} |"] if model.classes else []),
        f"| cells compared within batch | {r['within_batch']} |",
        f"| epochs, seconds, device | {r['epochs']}, {r['seconds']:.1f}, {r['device']} |",
        f"| seed | {r['seed']} |",
        f"| configuration | `{r['config']}` |",
        "",
        "```python",
        "import scssl as ssl",
        "model = ssl.load('this_folder')",
        "ssl.tl.embed(adata, model)",
        "```",
    ]
    notes = r.get("warnings", "")
    return "\n".join([*lines, *(["", "Notes:", "", notes] if notes else []), ""])
