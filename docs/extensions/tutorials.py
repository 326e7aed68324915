"""The notebooks of ``tutorials/`` as pages: Sphinx reads what lies below ``docs``, so they are copied there for a build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def copy(app: Sphinx) -> None:
    """Copy the notebooks; an unchanged one keeps its time stamp, so that its page is not built again."""
    source, target = Path(app.srcdir).parent / "tutorials", Path(app.srcdir) / "tutorials"
    target.mkdir(exist_ok=True)
    notebooks = {path.name: path.read_bytes() for path in sorted(source.glob("*.ipynb"))}
    for stale in target.glob("*.ipynb"):
        if stale.name not in notebooks:
            stale.unlink()
    for name, content in notebooks.items():
        if not (target / name).exists() or (target / name).read_bytes() != content:
            (target / name).write_bytes(content)


def setup(app: Sphinx) -> dict[str, Any]:
    """Copy before sources are collected."""
    app.connect("builder-inited", copy)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
