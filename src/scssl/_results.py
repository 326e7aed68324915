"""The row schema of every number that scssl reports, and the way between rows, frames and ``uns``."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _keys
from scssl._errors import InputError
from scssl._validate import enforce
from scssl._validate.paths import usable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scssl._types import Facts

OK, FAILED, NOT_APPLICABLE, TIMEOUT, COLLAPSED = STATUS = ("ok", "failed", "not_applicable", "timeout", "collapsed")
_FORMULA = r"^'*[=+\-@\t\r]"  # what a spreadsheet takes for the beginning of a formula
_QUOTED = r"^'(?='*[=+\-@\t\r])"
RANDOM, ORACLE = "random", "oracle"
OWN_ENGINE = "scssl"
MIN_RANGE = 0.1
OWN, HEAD = "own", "head"
ANSWERS = frozenset({OWN, HEAD})
"""Groups of metrics of what a model answers itself; an embedding has no value in them."""


@dataclass(frozen=True)
class Row:
    """One number and everything needed to trace it. Text is never ``None``; a number that is absent is NaN."""

    cell_id: str = ""
    """Hash of data, method, configuration, seed and task: rows of one run of the plan share it."""
    data: str = ""
    data_id: str = ""
    """Hash of the content that was used: values, genes, cells, batch and label columns."""
    n_obs: int = 0
    batch_key: str = ""
    label_key: str = ""
    """Columns of ``obs`` that were scored by."""
    method: str = ""
    key: str = ""
    config_id: str = ""
    seed: int = 0
    task: str = ""
    split: str = ""
    metric: str = ""
    group: str = ""
    value: float = np.nan
    scaled: float = np.nan
    """``(value - random control) / (oracle control - random control)`` of the same task and split; never clipped."""
    better: str = "higher"
    main: bool = False
    status: str = OK
    message: str = ""
    fit_s: float = np.nan
    embed_s: float = np.nan
    score_s: float = np.nan
    peak_mb: float = np.nan
    device: str = ""
    engine: str = OWN_ENGINE
    """Who computed the value: ``scssl``, or name and version of the reference implementation."""
    version: str = ""
    created: str = ""


_DTYPES = {"str": "object", "int": "int64", "float": "float64", "bool": "bool"}
DTYPES = {f.name: _DTYPES[str(f.type)] for f in fields(Row)}
COLUMNS = tuple(DTYPES)
_IDENTITY = ("data_id", "key", "config_id", "seed", "task", "split", "metric", "engine")


def line_key(method: str, axes: Mapping[str, str]) -> str:
    """Name of a line of an ablation: ``"simclr: temperature=0.1, width=32"``, axes in alphabetical order."""
    return f"{method}: " + ", ".join(f"{name}={axes[name]}" for name in sorted(axes))


def axes_of(key: str) -> dict[str, str]:
    """Axes and values in the name of a line, as :func:`line_key` wrote them; nothing for any other name."""
    _, colon, rest = key.partition(": ")
    parts = [part.partition("=") for part in rest.split(", ")] if colon else []
    whole = all(name.isidentifier() and equals and value for name, equals, value in parts)
    return {name: value for name, _, value in parts} if whole else {}


def frame(rows: Iterable[Row | Facts]) -> pd.DataFrame:
    """Rows as a frame with exactly the columns and types of the schema."""
    records = [asdict(row) if isinstance(row, Row) else dict(row) for row in rows]
    return conform(pd.DataFrame.from_records(records))


def conform(table: pd.DataFrame) -> pd.DataFrame:
    """Give a frame (read from CSV, h5ad or zarr) the columns and types of the schema.

    Raises
    ------
    InputError
        If a column is unknown, or one without which a row means nothing is missing.
    """
    axes = {name for key in table["key"].unique() for name in axes_of(str(key))} if "key" in table else set()
    unknown = sorted(set(table.columns) - set(COLUMNS) - axes)  # axes stand in the key: their columns can be made again
    missing = [c for c in ("method", "task", "metric", "value") if len(table) and c not in table]
    if unknown or missing:
        msg = f"This is not a table of scores: unknown columns {unknown}, missing columns {missing}."
        raise InputError(
            msg, code="bad_scores", parameter="scores", fix="Pass what tl.evaluate or get.scores returned."
        )
    filled = {}
    for f in fields(Row):
        values = table[f.name] if f.name in table else pd.Series([f.default] * len(table), index=table.index)
        if DTYPES[f.name] == "object":
            values = values.astype(object).where(values.notna(), "").map(str)
        filled[f.name] = values.astype(np.dtype(DTYPES[f.name]))
    return pd.DataFrame(filled, columns=list(COLUMNS)).reset_index(drop=True)


def merge(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Both tables; a row of `new` takes the place of the `old` row about the same number.

    A run that failed before it had a configuration is replaced by any later run of the same line.
    """
    line = ["data_id", "key", "seed", "task", "split"]
    if len(old):
        again = pd.MultiIndex.from_frame(old[line]).isin(pd.MultiIndex.from_frame(new[line]))
        old = old[~((old["status"] == FAILED) & (old["config_id"] == "") & again)]
    both = pd.concat([t for t in (old, new) if len(t)] or [new], ignore_index=True)
    return conform(both.drop_duplicates(list(_IDENTITY), keep="last"))


def stored(data: object) -> pd.DataFrame:
    """The scores kept in ``uns["scssl"]["scores"]``, empty if there are none."""
    table = _keys.peek(data).get(_keys.SCORES)
    return frame([]) if table is None else conform(pd.DataFrame(table))


def read(data: object) -> pd.DataFrame:
    """The scores of a scored object, of a frame, or of a CSV file.

    Raises
    ------
    InputError
        If there are none, or they are no scores.
    """
    if isinstance(data, pd.DataFrame):
        return conform(data)
    if isinstance(data, (str, os.PathLike)):
        return _read_csv(Path(data))
    if not hasattr(data, "uns"):
        msg = f"Scores are read from AnnData, MuData, a DataFrame or a CSV file, not from a {type(data).__name__}."
        raise InputError(msg, code="bad_type", parameter="data", fix="Pass the object that tl.evaluate scored.")
    if _keys.SCORES not in _keys.peek(data):
        held = ", ".join(sorted(map(repr, _keys.peek(data)))) or "nothing"
        msg = f"Nothing was scored with this object: uns['scssl'] holds {held}, no 'scores'."
        raise InputError(msg, code="no_scores", parameter="data", fix="Call tl.evaluate or tl.benchmark first.")
    return stored(data)


def as_csv(table: pd.DataFrame) -> str:
    """Rows as CSV; text that a spreadsheet would run as a formula begins with ``'``, which :func:`read` takes off again."""
    texts = table.select_dtypes(include=["object", "string", "category"])
    safe = {
        str(name): values.astype(str).str.replace(_FORMULA, r"'\g<0>", regex=True) for name, values in texts.items()
    }
    return table.assign(**safe).to_csv(index=False)


def _read_csv(path: Path) -> pd.DataFrame:
    enforce(usable(path, parameter="data"))
    if not path.is_file():
        msg = f"There is no file {str(path)!r} (looked in {path.absolute().parent})."
        raise InputError(msg, code="file_not_found", parameter="data", fix="Pass the path of a CSV table of scores.")
    try:
        table = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        msg = f"{str(path)!r} cannot be read as a CSV table: {error}."
        raise InputError(
            msg, code="bad_scores", parameter="data", fix="Pass a file that scores.to_csv wrote."
        ) from error
    for name, values in table.items():
        if pd.api.types.is_string_dtype(values) or values.dtype == object:
            table[name] = values.str.replace(_QUOTED, "", regex=True)
    return conform(table)


def keep(data: object, table: pd.DataFrame) -> None:
    """Add scores to ``uns["scssl"]["scores"]``."""
    merged = merge(stored(data), table)
    merged.index = merged.index.astype(str)  # h5ad and zarr keep text indices only
    _keys.store(data)[_keys.SCORES] = merged


def scale(table: pd.DataFrame) -> pd.DataFrame:
    """Fill ``scaled`` from the random and the oracle control of the same data, task, split and metric.

    It stays empty unless the oracle is better than noise by `MIN_RANGE`: noise mixes batches as well as the oracle does,
    and a ratio of two small differences would rank methods by chance.
    """
    place = ["data_id", "task", "split", "metric", "engine"]
    usable = table[table["status"].isin((OK, COLLAPSED))]
    low = usable[usable["method"] == RANDOM].groupby(place)["value"].mean()
    high = usable[usable["method"] == ORACLE].groupby(place)["value"].mean()
    index = pd.MultiIndex.from_frame(table[place])
    floor, span = low.reindex(index).to_numpy(), (high.reindex(index) - low.reindex(index)).to_numpy()
    upward = np.where(table["better"].to_numpy() == "lower", -span, span)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(upward >= MIN_RANGE, (table["value"].to_numpy() - floor) / span, np.nan)
    return table.assign(scaled=scaled)
