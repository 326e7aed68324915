"""The same plan on a Dask cluster: two worker processes, the values of a single process."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

import scssl as ssl
from scssl._errors import ScsslError, ScsslWarning

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason='needs pip install "scssl[dask]"'),
    pytest.mark.filterwarnings("default"),  # of dask and its event loop
]
TIMES = ["fit_s", "embed_s", "score_s", "peak_mb", "created"]
KEYS = {"batch_key": "batch", "label_key": "cell_type"}


@contextmanager
def cluster(folder, monkeypatch, *, daemon=False):
    import dask
    from dask.distributed import Client, LocalCluster
    from joblib import parallel_config

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    with (
        dask.config.set({"distributed.worker.daemon": daemon}),  # False: a worker may stop what does not end
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder) as workers,
        Client(workers),
        parallel_config(backend="dask"),
    ):
        yield


def test_two_workers_give_the_same_bits(small, bad_methods, tmp_path, monkeypatch):
    methods = {"quick": {"method": "simclr", "max_epochs": 2, "batch_size": 32}, "works": {}}
    here = ssl.tl.benchmark(small.copy(), methods=methods, **KEYS)
    with cluster(tmp_path / "dask", monkeypatch):
        there = ssl.tl.benchmark(small.copy(), methods=methods, cache_dir=tmp_path / "cache", **KEYS)
    pd.testing.assert_frame_equal(here.drop(columns=TIMES), there.drop(columns=TIMES), check_exact=True)
    assert len(list((tmp_path / "cache" / "cells").iterdir())) == there["cell_id"].nunique()


@pytest.mark.slow
def test_workers_stop_what_does_not_end(small, bad_methods, tmp_path, monkeypatch):
    with cluster(tmp_path / "dask", monkeypatch), pytest.warns(ScsslWarning, match="'hangs' failed"):
        table = ssl.tl.benchmark(
            small.copy(), methods=["hangs", "works"], batch_key="batch", tasks=["batch_correction"], timeout=9
        )
    assert set(table.query("key == 'hangs'")["status"]) == {"timeout"}
    assert "timeout" not in set(table.query("key == 'works'")["status"])


@pytest.mark.slow
def test_workers_that_cannot_stop_anything_say_what_to_set(small, bad_methods, tmp_path, monkeypatch):
    """What Dask does unless told otherwise."""
    with (
        cluster(tmp_path / "dask", monkeypatch, daemon=True),
        pytest.raises(ScsslError, match=r"distributed\.worker\.daemon") as caught,
    ):
        ssl.tl.benchmark(small.copy(), methods=["works"], batch_key="batch", tasks=["batch_correction"], timeout=9)
    assert caught.value.code == "no_worker"
