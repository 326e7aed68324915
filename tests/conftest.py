"""Shared by all tests: options, small data, and the proof that an object and the process are as before."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import scssl as ssl
from scssl import _keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anndata as ad

REPO = Path(__file__).parents[1]
OPTIONS = {"slow": "--run-slow", "network": "--run-network"}


def pytest_addoption(parser: pytest.Parser) -> None:
    for marker, option in OPTIONS.items():
        parser.addoption(option, action="store_true", help=f"also run the tests marked {marker}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for marker, option in OPTIONS.items():
            if item.get_closest_marker(marker) and not config.getoption(option):
                item.add_marker(pytest.mark.skip(reason=f"{marker}: needs {option}"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="gpu: no CUDA device"))
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.shared)


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two test processes share two cores; results do not depend on it
    with ssl.settings.override(verbosity="warning", progress=False):
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SCSSL_SHARED_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder} (SCSSL_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def _pbmc() -> ad.AnnData:
    adata = ssl.datasets.pbmc68k(batches=3)
    ssl.pp.recipe(adata, batch_key="batch")
    return adata


@pytest.fixture
def pbmc(_pbmc: ad.AnnData) -> ad.AnnData:
    """700 real cells in 3 simulated batches, after the recipe."""
    return _pbmc.copy()


@pytest.fixture
def synthetic() -> ad.AnnData:
    """200 simulated cells x 50 genes with counts."""
    return ssl.datasets.synthetic(200, 50, n_types=3, n_batches=2)


@pytest.fixture
def mudata() -> Any:
    """120 simulated cells with counts of RNA and protein."""
    return ssl.datasets.synthetic(120, 50, n_types=3, n_batches=2, modalities=("rna", "prot"))


def _digest(*parts: Any) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """``(path, type and content)`` of everything below a value, in the order in which it is stored."""
    kind = type(value).__name__
    if sp.issparse(value):
        form = f"{kind} {value.shape} {value.dtype} {value.indices.dtype}"
        yield path, f"{form} {_digest(value.data, value.indices, value.indptr)}"
    elif isinstance(value, np.ndarray) and value.dtype.kind != "O":
        mask = _digest(np.ma.getmaskarray(value)) if isinstance(value, np.ma.MaskedArray) else ""
        yield path, f"{kind} {value.shape} {value.dtype} {value.flags.c_contiguous} {_digest(np.asarray(value))} {mask}"
    elif isinstance(value, np.ndarray):
        yield path, f"{kind} {value.shape} object {_digest(repr(value.tolist()).encode())}"
    elif isinstance(value, pd.DataFrame):
        yield f"{path}.columns", repr(value.columns.tolist())
        yield from _flat(value.index, f"{path}.index")
        for i, column in enumerate(value.columns):
            yield from _flat(value.iloc[:, i], f"{path}[{column!r}]")
    elif isinstance(value, pd.Series) and isinstance(value.dtype, pd.CategoricalDtype):
        yield (
            path,
            f"categorical {value.cat.ordered} {value.cat.categories.tolist()} {_digest(value.cat.codes.to_numpy())}",
        )
    elif isinstance(value, pd.Series | pd.Index):
        yield path, f"{value.dtype} {value.name!r} {_digest(repr(value.tolist()).encode())}"
    elif hasattr(value, "items"):
        yield f"{path}.keys", repr(list(value.keys()))
        for key, below in value.items():
            yield from _flat(below, f"{path}[{key!r}]")
    else:
        yield path, f"{kind} {value!r}"


def fingerprint(data: Any) -> dict[str, str]:
    """Content, types, names and order of everything in an AnnData or MuData, by place; two are equal or they differ."""
    found = {"class": type(data).__name__, "shape": repr(data.shape), "is_view": repr(data.is_view)}
    slots = ["obs", "var", "uns", "obsm", "varm", "obsp", "varp"]
    if hasattr(data, "mod"):
        for name, part in data.mod.items():
            found |= {f"mod[{name!r}].{place}": content for place, content in fingerprint(part).items()}
    else:
        found |= {"backed": repr((data.isbacked, data.isbacked and data.file.is_open)), "raw": repr(data.raw is None)}
        slots += [] if data.isbacked else ["X"]
        if data.isbacked:
            found["file"] = _digest(Path(data.filename).read_bytes())
        found |= dict(_flat({name: data.layers[name] for name in _keys.layers(data)}, "layers"))
        if data.raw is not None:
            found |= dict(_flat(data.raw.X, "raw.X")) | dict(_flat(data.raw.var, "raw.var"))
    for slot in slots:
        found |= dict(_flat(getattr(data, slot), slot))
    return found


def process_state() -> dict[str, Any]:
    """What belongs to the user and not to a package: random states, warning filters, handlers, folder, environment."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global one is meant
    return {
        "random": random.getstate(),
        "numpy": (numpy_state[0], numpy_state[1].tobytes(), *numpy_state[2:]),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "torch threads": torch.get_num_threads(),
        "torch default type": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warning filters": list(warnings.filters),
        "handlers": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "folder": str(Path.cwd()),
        "environment": {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
    }


class Comparison:
    """The state of an object when it was made, to be compared with a later one, or with another object."""

    def __init__(self, data: Any) -> None:
        self.data, self.before = data, fingerprint(data)

    def against(self, other: Any) -> None:
        """The object equals another one in everything."""
        self._same(self.before, fingerprint(other))

    def still(self) -> None:
        """The object is as it was."""
        self._same(self.before, fingerprint(self.data))

    @staticmethod
    def _same(before: dict[str, str], after: dict[str, str]) -> None:
        changed = {k: (before.get(k), after.get(k)) for k in {*before, *after} if before.get(k) != after.get(k)}
        assert changed == {}


@contextmanager
def _unchanged(data: Any) -> Iterator[Comparison]:
    comparison, state = Comparison(data), process_state()
    yield comparison
    comparison.still()
    after = process_state()
    assert [name for name in state if state[name] != after[name]] == []


@pytest.fixture(scope="session")
def unchanged() -> Any:
    """``with unchanged(adata): ...``: the object and the state of the process are the same at the end of the block."""
    return _unchanged
