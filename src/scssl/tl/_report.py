from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from scssl import _files, _keys, _settings
from scssl._cite import cite
from scssl._errors import InputError
from scssl._protocol import of_profile
from scssl._registry import DATASETS, METHODS, METRICS, TASKS
from scssl._validate import enforce
from scssl._validate.paths import target as check_target
from scssl.data import scored
from scssl.table.board import simulation
from scssl.table.report import Background, render
from scssl.table.statistics import controls

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Json


def report(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    profile: str = "clean",
    commands: Sequence[str] | None = None,
) -> None:
    """One HTML page to send to a colleague: scores, controls, failures, training, versions, citations.

    The page needs no network and runs no script; it reads well on a phone. From an object it also has the training
    curves and configurations of the models; from a table the scores alone.

    Parameters
    ----------
    data
        Scored object, result rows, or their path as CSV, as for :func:`scssl.get.scores`.
    path
        The file to write, ``.html``; replaced if it exists.
    title
        Head line; by default the name of the data set, or how many methods and data sets there are.
    profile
        ``"clean"``: raw values. ``"paper"``: batch-correction metrics min-max scaled over the methods in the table.
    commands
        Lines that repeat the work, for the page; by default they are put together from the records.

    Returns
    -------
    Nothing; the file is written.

    Raises
    ------
    InputError
        If `data` holds no scores, or `path` is a folder or does not end in ``.html``.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> scores = ssl.tl.evaluate(adata, use_rep="X_pca", batch_key="batch", label_key="cell_type")
    >>> ssl.tl.report(adata, "report.html")
    """
    enforce(check_target(path))
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm") or target.is_dir():
        what = "is a folder" if target.is_dir() else f"ends in {target.suffix!r}"
        msg = f"path={str(path)!r} {what}; the report is one HTML file."
        raise InputError(msg, code="bad_path", parameter="path", fix=f"Pass {str(target.with_suffix('.html'))!r}.")
    rows = scored.read(data)
    records = _keys.peek(data).get(_keys.MODELS, {}) if hasattr(data, "uns") else {}
    background = Background(
        simulated=simulation(data),
        models=_models(records),
        histories={key: pd.DataFrame(record.get("history", {})) for key, record in records.items()},
        commands=_commands(rows, records) if commands is None else commands,
        session=_session(),
        citations=cite(*_cited(rows)),
    )
    _files.write_text(target, render(rows, title=title, protocol=of_profile(profile), background=background))
    _settings.info(f"    wrote {target}")


def _models(records: dict[str, Json]) -> pd.DataFrame:
    plain = {key: {k: v for k, v in record.items() if k != "history"} for key, record in records.items()}
    return pd.DataFrame({key: pd.Series(record, dtype=object) for key, record in plain.items()}).T


def _cited(rows: pd.DataFrame) -> list[str]:
    """Everything in the table that a registry knows, and the benchmark itself."""
    named = {
        name
        for column, registry in (("method", METHODS), ("metric", METRICS), ("task", TASKS), ("data", DATASETS))
        for name in set(rows[column])
        if name in registry
    }
    return ["ovcharenko2025scssl", *sorted(named), "virshup2023scverse"]


def _session() -> list[tuple[str, str]]:
    """Names and versions of what is loaded; nothing about the user or the host."""
    import session_info2

    text = str(session_info2.session_info(os=True, cpu=False, gpu=False, dependencies=True))
    pairs = [line.split("\t", 1) for line in text.splitlines() if "\t" in line]
    software = sorted((name, version) for name, version in pairs if not name.startswith("-") and name != "Updated")
    return sorted(software, key=lambda pair: (pair[0] != "Python", pair[0] != "OS", pair[0].lower()))


def _commands(rows: pd.DataFrame, records: dict[str, Json]) -> list[str]:
    """Python that repeats the benchmark, and each model of the records."""
    methods = [m for m in dict.fromkeys(rows["method"]) if m in METHODS and m not in controls()]
    tasks = [t for t in dict.fromkeys(rows["task"]) if t]
    versions = [v for v in dict.fromkeys(rows["version"]) if v]
    lines = [
        *(f"# pip install scssl=={version}" for version in versions),
        "import scssl as ssl",
        "",
    ]
    seeds = rows.loc[rows["method"].isin(methods), "seed"].nunique()
    data = rows[["data", "data_id", "batch_key", "label_key"]].drop_duplicates(["data", "data_id"])
    for d in data.itertuples(index=False):
        lines.append(f"adata = ...  # {d.data} (content {d.data_id})")
        keys = "".join(f"{name}={getattr(d, name)!r}, " for name in ("batch_key", "label_key") if getattr(d, name))
        if methods:
            lines.append(f"ssl.tl.benchmark(adata, methods={methods}, tasks={tasks}, {keys}seeds={seeds})")
    lines += [_fit(key, record) for key, record in records.items()]
    return [line.replace("\n", " ").replace("\r", " ") for line in lines]


def _fit(key: str, record: Json) -> str:
    config = json.loads(record.get("config") or "{}")
    given = {"layer": record.get("layer"), "batch_key": record.get("batch_key"), "seed": record.get("seed", 0)}
    given["key_added"] = key if key != record.get("method") else ""
    told = [f"{name}={value!r}" for name, value in _python({**given, **config}).items()]
    return f"ssl.tl.fit(adata, method={record.get('method', '')!r}, {', '.join(told)})"


def _python(values: Json) -> Json:
    """Without what was not given, and with plain Python numbers."""
    plain: Iterable[tuple[str, Any]] = ((k, v.item() if hasattr(v, "item") else v) for k, v in values.items())
    return {k: v for k, v in plain if v is not None and v != "" and not (isinstance(v, float) and math.isnan(v))}
