"""Methods that do not work, processes that die, calls that are interrupted: the rest is finished, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scssl as ssl
from scssl._errors import InputError, ScsslWarning
from scssl.bench import job as jobs
from scssl.bench.cache import Cache

TIMES = ["fit_s", "embed_s", "score_s", "peak_mb", "created"]
PLACE = ["key", "task", "metric"]
KEYS = {"batch_key": "batch", "label_key": "cell_type"}
HERE = Path(__file__).parent
NURSERY = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import anndata, bad_methods, torch
import scssl as ssl
import scssl.models.fit, scssl.metrics.integration, sklearn.decomposition, sklearn.neighbors
torch.set_num_threads(1)
ssl.settings.verbosity, ssl.settings.progress = 1, False
adata = anndata.read_h5ad(sys.argv[2])
for line in sys.stdin:
    child = os.fork()
    if not child:
        options = json.loads(line)
        os.environ["SCSSL_TEST_LOG"] = options.pop("log")
        code = 1
        try:
            ssl.tl.benchmark(adata, batch_key="batch", label_key="cell_type", **options)
            code = 0
        finally:
            os._exit(code)
    sys.stdout.write(f"{child}\\n")
    sys.stdout.flush()
    if os.environ.get("WAIT"):
        code = os.waitpid(child, 0)[1]
        sys.stdout.write(f"{code}\\n")
        sys.stdout.flush()
"""


class Nursery:
    """A process that has imported everything, and on demand starts a copy of itself that does a benchmark."""

    def __init__(self, folder):
        command = [sys.executable, "-W", "ignore", "-c", NURSERY, str(HERE), str(folder / "cells.h5ad")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WAIT": "yes"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=60)

    def start(self, log, **options):
        """Start a benchmark; the number of its process."""
        self.process.stdin.write(json.dumps({**options, "log": str(log)}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        """How it ended: 0, or the signal that killed it."""
        return int(self.process.stdout.readline())


def compare(adata, methods, **options):
    return ssl.tl.benchmark(adata.copy(), methods=methods, **KEYS | options)


def same(table, other):
    pd.testing.assert_frame_equal(table.drop(columns=TIMES), other.drop(columns=TIMES), check_exact=True)


@pytest.fixture
def folder(small, tmp_path):
    small.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path


def test_bad_methods_cost_their_own_rows_only(small, bad_methods):
    bad = ["raises", "gives_nan", "collapses", "runs_out_of_memory"]
    good = compare(small, ["works", "pca"])
    with pytest.warns(ScsslWarning, match="failed, at least in part"):
        table = compare(small, ["raises", "works", "gives_nan", "pca", "collapses", "runs_out_of_memory"])
    same(good, table[~table["key"].isin(bad)].reset_index(drop=True))
    status = table.groupby("key")["status"].unique().map(set).to_dict()
    assert status["raises"] == status["gives_nan"] == status["runs_out_of_memory"] == {"failed"}
    assert "collapsed" in status["collapses"]
    assert "ok" not in status["collapses"]
    message = table.groupby("key")["message"].first()
    assert "RuntimeError: out to lunch" in message["raises"]
    assert "is not finite" in message["gives_nan"]
    assert "MemoryError" in message["runs_out_of_memory"]
    owed = {key: set(zip(t["task"], t["split"], t["metric"], strict=True)) for key, t in table.groupby("key")}
    assert all(owed[key] == owed["pca"] for key in bad)


def test_a_fifth_of_the_grid_is_sabotaged(small, bad_methods, monkeypatch):
    """Two lines of ten fail, one of them in one seed only: the others are done, totals stand under both policies."""
    fit = bad_methods.Works.fit

    def sometimes(self, cells, run):
        if run.seed == 1:
            raise RuntimeError("not on Tuesdays")
        return fit(self, cells, run)

    monkeypatch.setattr(bad_methods.GivesNan, "fit", sometimes)
    monkeypatch.setattr(bad_methods.GivesNan, "represent", bad_methods.Works.represent)
    methods = {f"line {i}": {"method": "works"} for i in range(8)} | {"raises": {}, "gives_nan": {}}
    with pytest.warns(ScsslWarning, match="failed, at least in part"):
        table = compare(small, methods, seeds=2, tasks=["batch_correction"])
    alone = compare(small, {"line 0": {"method": "works"}}, seeds=2, tasks=["batch_correction"])
    same(alone[alone["key"] == "line 0"].reset_index(drop=True), table[table["key"] == "line 0"].reset_index(drop=True))
    failed = table[table["status"] == "failed"]
    assert set(zip(failed["key"], failed["seed"], strict=True)) == {("raises", 0), ("raises", 1), ("gives_nan", 1)}
    assert failed["message"].str.contains("out to lunch|not on Tuesdays").all()
    assert set(ssl.get.summary(table).index) == {*methods, "random", "oracle"}
    keep, drop, floor = (ssl.get.summary(table, missing=policy)["total"] for policy in ("keep", "drop", "floor"))
    assert keep["raises"] != keep["raises"]
    assert drop["raises"] != drop["raises"]
    assert floor["raises"] == pytest.approx(floor["random"])
    assert drop["gives_nan"] == keep["gives_nan"] == pytest.approx(2 * floor["gives_nan"] - floor["random"])
    note = ssl.get.summary(table).loc["gives_nan", "note"]
    assert "failed in 1 of 2 seeds: RuntimeError: not on Tuesdays" in note


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL does not exist on Windows")
def test_what_hangs_is_stopped_and_what_dies_is_told(small, bad_methods, tmp_path):
    good = compare(small, ["works"], tasks=["batch_correction"])
    options = {"tasks": ["batch_correction"], "timeout": 9, "cache_dir": tmp_path}
    began = time.monotonic()
    with pytest.warns(ScsslWarning, match="failed, at least in part"):
        table = compare(small, ["hangs", "dies", "works"], **options)
    assert time.monotonic() - began < 100
    same(good, table[table["key"].isin(["works", "random", "oracle"])].reset_index(drop=True))
    hangs, dies = (table[table["key"] == key] for key in ("hangs", "dies"))
    assert set(hangs["status"]) == {"timeout"}
    assert set(hangs["message"]) == {"stopped after 9 s"}
    assert set(dies["status"]) == {"failed"}
    assert dies["message"].str.contains("its process died").all()
    with pytest.warns(ScsslWarning, match="failed, at least in part"):
        same(table, compare(small, ["hangs", "dies", "works"], **options | {"policy": "cached"}))


def test_what_failed_is_tried_again(small, bad_methods, tmp_path, monkeypatch):
    log = tmp_path / "log"
    monkeypatch.setenv("SCSSL_TEST_LOG", str(log))
    options = {"tasks": ["batch_correction"], "cache_dir": tmp_path / "cache"}
    with monkeypatch.context() as patch:
        patch.setattr(bad_methods.Works, "fit", bad_methods.Raises.fit)
        with pytest.warns(ScsslWarning, match="'works' failed"):
            compare(small, ["works"], **options)
    assert set(compare(small, ["works"], **options)["status"]) <= {"ok", "not_applicable"}
    compare(small, ["works"], **options)
    assert log.read_text() == "Works\n"


def test_two_processes_give_the_same_bits_as_none(small, bad_methods):
    methods = {"quick": {"method": "simclr", "max_epochs": 2, "batch_size": 32}, "works": {}}
    same(compare(small, methods), compare(small, methods, n_jobs=2))


def test_methods_typed_in_a_notebook_reach_the_processes(small, folder):
    """A class of ``__main__`` exists in no file that another process could import."""
    script = """
import sys, anndata
import scssl as ssl
from scssl._registry import METHODS
from scssl.methods.random import RandomNoise
def main():
    @METHODS.register("typed", title="T", family="control", compares="off", summary="s")
    class Typed(RandomNoise):
        pass
    adata = anndata.read_h5ad(sys.argv[1])
    table = ssl.tl.benchmark(adata, methods=["typed"], batch_key="batch", tasks=["batch_correction"], timeout=99)
    assert set(table["status"]) <= {"ok", "not_applicable"}, table["message"].unique()
if __name__ == "__main__":
    main()
"""
    command = [sys.executable, "-c", script, str(folder / "cells.h5ad")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_an_interrupted_call_keeps_what_is_done(small, bad_methods, monkeypatch):
    adata = small.copy()
    original = jobs.trained

    def interrupted(job, *rest):
        if job.key == "works":
            raise KeyboardInterrupt
        return original(job, *rest)

    monkeypatch.setattr(jobs, "trained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ssl.tl.benchmark(adata, methods=["pca", "works"], **KEYS)
    kept = ssl.get.scores(adata)
    assert set(kept["key"]) == {"random", "oracle", "pca"}
    monkeypatch.undo()
    same(kept, compare(small, ["pca"]))


def test_a_task_that_breaks_costs_its_own_rows(small, monkeypatch):
    from scssl.tasks.cell_typing import CellTyping

    whole = compare(small, ["pca"])
    monkeypatch.setattr(CellTyping, "score_finite", lambda *a, **k: 1 / 0)
    with pytest.warns(ScsslWarning, match="ZeroDivisionError"):
        table = compare(small, ["pca"])
    broken = table["task"] == "cell_typing"
    assert table.loc[broken, "message"].str.contains("ZeroDivisionError").all()
    assert set(table.loc[broken, "key"]) == {"pca", "random", "oracle"}
    same(whole[whole["task"] != "cell_typing"].reset_index(drop=True), table[~broken].reset_index(drop=True))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"policy": "mising"}, "unknown_policy"),
        ({"n_jobs": 0}, "bad_n_jobs"),
        ({"n_jobs": 1.5}, "bad_n_jobs"),
        ({"timeout": -1}, "bad_timeout"),
    ],
)
def test_wrong_ways_to_run_are_told_first(small, options, code, unchanged):
    adata = small.copy()
    with unchanged(adata), pytest.raises(InputError) as caught:
        ssl.tl.benchmark(adata, methods=["pca"], **KEYS | options)
    assert caught.value.code == code


def killed_at_random(folder, *, moments, options, seed):
    """Kill a benchmark at random moments, complete it, and prove that no finished cell was touched again."""
    cache, log = folder / "cache", folder / "log"
    options = {**options, "cache_dir": str(cache)}
    draw = random.Random(seed)
    committed: dict[Path, int] = {}
    killed = 0
    with Nursery(folder) as nursery:
        for _ in range(moments):
            process = nursery.start(log, **options)
            time.sleep(draw.uniform(0.0, 1.2))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            killed += nursery.end() == signal.SIGKILL
            for file in cache.glob("cells/[!.]*"):
                assert Cache(cache).read(file.stem) is not None, f"{file} cannot be read"
                assert committed.setdefault(file, file.stat().st_mtime_ns) == file.stat().st_mtime_ns, "made twice"
            for file in cache.glob("models/[!.]*"):
                assert Cache(cache).embedded(file.name) is not None, f"{file} cannot be read"
        nursery.start(log, **options)
        assert nursery.end() == 0
    assert killed > 0
    assert all(file.stat().st_mtime_ns == written for file, written in committed.items()), "made twice"
    assert [p for p in cache.rglob(".*") if ".tmp-" in p.name or ".old-" in p.name] == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL does not exist on Windows")
@pytest.mark.parametrize("moments", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_table_is_the_same(folder, bad_methods, moments):
    methods = {"pca": {}, "is_slow": {}, "quick": {"method": "simclr", "max_epochs": 2, "batch_size": 32}}
    options = {"methods": methods, "seeds": 2}
    killed_at_random(folder, moments=moments, options=options, seed=moments)
    cells = ad.read_h5ad(folder / "cells.h5ad")
    same(compare(cells, **options, cache_dir=folder / "cache", policy="cached"), compare(cells, **options))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL does not exist on Windows")
def test_processes_share_the_work(folder, bad_methods):
    """Three processes on one folder, one of them killed: each model is trained once, but for the one that died."""
    log = folder / "log"
    options = {"methods": ["is_slow"], "seeds": 4, "tasks": ["batch_correction"], "cache_dir": str(folder / "cache")}
    with Nursery(folder) as one, Nursery(folder) as two, Nursery(folder) as three:
        numbers = [nursery.start(log, **options) for nursery in (one, two, three)]
        time.sleep(0.4)
        os.kill(numbers[0], signal.SIGKILL)
        assert (one.end(), two.end(), three.end()) == (signal.SIGKILL, 0, 0)
    trained = Counter(log.read_text().split())
    assert 4 <= trained["IsSlow"] <= 5
    cells = ad.read_h5ad(folder / "cells.h5ad")
    table = compare(cells, **options, policy="cached")
    assert set(table["status"]) <= {"ok", "not_applicable"}
    assert len(list((folder / "cache" / "cells").iterdir())) == 5


def test_removing_a_method_changes_nothing_of_the_others(small, bad_methods):
    methods = ["pca", "works", "untrained"]
    whole = compare(small, methods)
    for left_out in methods:
        rest = compare(small, [m for m in methods if m != left_out])
        same(whole[whole["key"] != left_out].reset_index(drop=True), rest)


def test_names_and_order_change_nothing(small, bad_methods):
    """Labels and batches under other names (sorted the other way), cells in another order: the same values."""
    table = compare(small, ["pca"])
    renamed = small.copy()
    for column in KEYS.values():
        names = sorted(set(renamed.obs[column]))
        renamed.obs[column] = renamed.obs[column].astype(str).map(dict(zip(names, reversed(names), strict=True)))
    permuted = small[np.random.default_rng(0).permutation(small.n_obs)].copy()
    for other, free in ((renamed, []), (permuted, ["leiden_ari", "leiden_nmi", "isolated_labels_f1"])):
        again = compare(other, ["pca"])
        values, others = (t[~t["metric"].isin(free)].groupby(PLACE)["value"].mean() for t in (table, again))
        pd.testing.assert_series_equal(values, others, check_exact=False, rtol=0, atol=1e-6)


def test_names_and_order_change_nothing_of_an_embedding(small):
    """The same for ``tl.evaluate``."""
    adata = small.copy()
    adata.obsm["X_mine"] = np.random.default_rng(1).normal(size=(adata.n_obs, 6))
    table = ssl.tl.evaluate(adata, use_rep="X_mine", **KEYS)
    renamed = adata.copy()
    renamed.obs["batch"] = renamed.obs["batch"].astype(str).map({"batch1": "b", "batch2": "a"})
    permuted = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    for other in (renamed, permuted):
        again = ssl.tl.evaluate(other, use_rep="X_mine", **KEYS)
        values, others = (t.groupby(PLACE)["value"].mean() for t in (table, again))
        pd.testing.assert_series_equal(values, others, check_exact=False, rtol=0, atol=1e-6)


def test_embeddings_of_others_need_no_torch(folder):
    code = """
import sys, numpy as np, anndata
import scssl as ssl
adata = anndata.read_h5ad(sys.argv[1])
adata.obsm["X_mine"] = np.random.default_rng(0).normal(size=(adata.n_obs, 5))
table = ssl.tl.benchmark(
    adata, embeddings=["mine"], batch_key="batch", label_key="cell_type", cache_dir=sys.argv[2],
    tasks=["batch_correction", "cell_typing"],
)
assert set(table["key"]) == {"mine", "random", "oracle"}
assert table.query("key == 'mine' and task == 'cell_typing'")["message"].str.contains("may have seen").all()
sys.stdout.write(str("torch" in sys.modules))
"""
    command = [sys.executable, "-c", code, str(folder / "cells.h5ad"), str(folder / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "False", done.stderr
