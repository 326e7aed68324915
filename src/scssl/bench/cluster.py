"""A benchmark in parts, by processes that share nothing but files: write the plan, do a cell, collect the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scssl import _files
from scssl._errors import InputError
from scssl.bench import plan as plans
from scssl.bench.job import CACHED, MISSING
from scssl.bench.runner import run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from scssl._types import Data


def write(file: Path, cells: Data, *, data: Path, cache_dir: Path | None, **options: Any) -> plans.Plan:
    """Make a plan and write it to `file`; results will be kept next to it unless `cache_dir` says where."""
    made = plans.plan(
        cells,
        name=data.stem,
        path=str(data.absolute()),
        cache_dir=str((cache_dir or file.with_name(f"{file.stem}_results")).absolute()),
        **options,
    )
    _files.write_text(file, made.to_json())
    return made


def follow(
    file: Path,
    read: Callable[[Path], object],
    *,
    cell: str | None = None,
    collect: bool = False,
    n_jobs: int | None = None,
    timeout: float | None = None,
) -> pd.DataFrame:
    """Do a plan, or one cell of it, or collect what is done.

    Parameters
    ----------
    file
        The plan.
    read
        Reads the data from the path that the plan names.
    cell
        Position or identifier of the only cell to be done.
    collect
        Compute nothing.
    n_jobs, timeout
        As for :func:`scssl.bench.runner.run`.

    Raises
    ------
    InputError
        If there is no plan, or it is not for these data and this version.
    """
    if not file.is_file():
        msg = f"There is no plan {str(file)!r}."
        fix = f"Write one: scssl benchmark data.h5ad --batch-key batch --plan {file}"
        raise InputError(msg, code="no_file", parameter="plan", fix=fix)
    plan = plans.Plan.from_json(file.read_text(encoding="utf-8"))
    if cell is not None:
        plan = replace(plan, jobs=(plan.cell(cell),))
    if collect:
        return run(plan, None, policy=CACHED)
    data = read(Path(plan.setting.path))
    plan.verify(data)
    return run(plan, data, policy=MISSING, n_jobs=n_jobs, timeout=timeout)


def outcome(table: pd.DataFrame) -> str:
    """One line on a single cell."""
    row = table.iloc[0]
    counts = ", ".join(f"{n} {status}" for status, n in table["status"].value_counts().items())
    keys = " and ".join(dict.fromkeys(table["key"]))
    place = " ".join(filter(None, (row["task"], row["split"])))
    return f"cell {row['cell_id']}: {keys}, seed {row['seed']}, {place}: {counts}"
