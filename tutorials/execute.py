"""Execute the notebooks of this folder and keep their outputs: ``make tutorials``.

An error or a line on standard error that is not scssl's log stops with status 1, so that no page shows a stray warning.
Times and versions of the run are left out: a second execution changes outputs that changed, and nothing else.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbclient import NotebookClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

FOLDER = Path(__file__).parent
LOG = "    "  # what scssl logs is indented
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait do not spin: the cores may be shared
    "PYTHONWARNINGS": "ignore:IProgress not found",  # of tqdm: text bars are what is wanted
}


def stray(notebook: NotebookNode) -> Iterator[str]:
    """Lines on standard error that scssl's log has not written."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                yield from (line for line in output.text.splitlines() if line.strip() and not line.startswith(LOG))


def execute(path: Path) -> list[str]:
    """Execute a notebook in place; what is wrong with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:  # what a notebook writes goes there
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=600, record_timing=False, resources=resources).execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    nbformat.write(notebook, path)
    return list(stray(notebook))


def main() -> int:
    """Execute all notebooks, or those named on the command line."""
    wrong = 0
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for path in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        started = time.perf_counter()
        found = execute(path)
        wrong += bool(found)
        sys.stdout.write(f"{path.name}: {time.perf_counter() - started:.0f} s\n")
        sys.stderr.writelines(f"  stray: {line}\n" for line in found)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
