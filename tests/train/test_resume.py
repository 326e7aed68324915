"""A run that was killed and resumed equals one that was not, bit for bit."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import scssl as ssl
from scssl._errors import CheckpointError, InputError, TrainingError
from scssl.train import checkpoint

RUN = """
import sys, numpy as np, scssl as ssl, torch
from scssl.train import loop
torch.set_num_threads(1)
folder, method, resume, slow = sys.argv[1], sys.argv[2], sys.argv[3] == "resume", sys.argv[4] == "slow"
if slow:  # leave time to be killed between two steps
    import time
    step = loop._inputs
    loop._inputs = lambda *a: (time.sleep(0.05), step(*a))[1]
adata = ssl.datasets.synthetic(n_obs=200, n_vars=80, n_batches=2, seed=0)
ssl.pp.recipe(adata)
model = ssl.tl.fit(adata, method, batch_key="batch", max_epochs=8, batch_size=50, dropout=0.1,
                   checkpoint_dir=f"{folder}/checkpoint", resume=resume, progress=False)
np.save(f"{folder}/embedding.npy", adata.obsm["X_" + method])
np.save(f"{folder}/loss.npy", model.history["loss"].to_numpy())
"""


def start(folder, method, *, resume="fresh", speed="fast"):
    return subprocess.Popen([sys.executable, "-c", RUN, str(folder), method, resume, speed])


@pytest.mark.parametrize("method", ["simclr", "vicreg", "moco", "nnclr"])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, method):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    uninterrupted = start(whole, method)
    victim = start(broken, method, speed="slow")
    file = checkpoint.path_in(broken / "checkpoint")
    deadline = time.monotonic() + 120
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)  # some steps into a later epoch
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (broken / "embedding.npy").exists()
    assert start(broken, method, resume="resume").wait() == 0
    assert uninterrupted.wait() == 0
    for name in ("embedding.npy", "loss.npy"):
        np.testing.assert_array_equal(np.load(broken / name), np.load(whole / name))


@pytest.fixture
def cells():
    adata = ssl.datasets.synthetic(n_obs=120, n_vars=50, n_batches=2, seed=0)
    adata = adata[:, np.asarray(adata.X.sum(axis=0)).ravel() > 0].copy()
    ssl.pp.recipe(adata)
    return adata


def fit(adata, **options):
    options = {"max_epochs": 2, "batch_size": 64, "batch_key": "batch"} | options
    return ssl.tl.fit(adata, "simclr", **options)


def test_a_longer_run_continues_a_shorter_one(cells, tmp_path):
    fit(cells, checkpoint_dir=tmp_path)
    longer = fit(cells, checkpoint_dir=tmp_path, resume=True, max_epochs=5)
    np.testing.assert_array_equal(longer.embed(cells), fit(cells, max_epochs=5).embed(cells))
    assert longer.history["epoch"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("method", ["byol", "moco"])
def test_a_run_with_a_schedule_has_one_length(cells, tmp_path, method):
    """Momentum rises to 1 at the end of the run: a longer run is another one from the first step on."""

    def fit(**options):
        return ssl.tl.fit(cells, method, batch_size=64, batch_key="batch", checkpoint_dir=tmp_path, **options)

    fit(max_epochs=2)
    with pytest.raises(CheckpointError, match=r"of a run of 2 epochs, max_epochs=4.*Pass max_epochs=2") as caught:
        fit(max_epochs=4, resume=True)
    assert caught.value.code == "other_length"
    assert len(fit(max_epochs=2, resume=True).history) == 2


def test_a_shorter_run_than_was_trained_is_refused(cells, tmp_path):
    fit(cells, checkpoint_dir=tmp_path, max_epochs=3)
    with pytest.raises(CheckpointError, match="holds 3 epochs; max_epochs=2") as caught:
        fit(cells, checkpoint_dir=tmp_path, max_epochs=2, resume=True)
    assert caught.value.code == "longer_run"


def test_a_finished_run_is_not_trained_again(cells, tmp_path):
    first = fit(cells, checkpoint_dir=tmp_path)
    again = fit(cells, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_array_equal(again.embed(cells), first.embed(cells))
    assert again.history["seconds"].tolist() == first.history["seconds"].tolist()


def test_nothing_to_resume_starts_fresh(cells, tmp_path):
    assert len(fit(cells, checkpoint_dir=tmp_path / "new", resume=True).history) == 2


@pytest.mark.parametrize("change", [{"seed": 1}, {"temperature": 0.1}, {"within_batch": "off"}])
def test_a_checkpoint_of_another_run_is_refused(cells, tmp_path, change):
    fit(cells, checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        fit(cells, checkpoint_dir=tmp_path, resume=True, **change)


def test_other_data_are_refused(cells, tmp_path):
    fit(cells, checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        fit(cells[:100].copy(), checkpoint_dir=tmp_path, resume=True)


@pytest.mark.parametrize("part", [0, 8, 100, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(cells, tmp_path, part):
    fit(cells, checkpoint_dir=tmp_path)
    file = checkpoint.path_in(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(part if part >= 1 or part == 0 else part * len(content))])
    with pytest.raises(CheckpointError, match="cannot be read"):
        fit(cells, checkpoint_dir=tmp_path, resume=True)


def test_as_many_other_genes_are_another_run(cells, tmp_path):
    cells.var["highly_variable"] = np.arange(cells.n_vars) < 40
    fit(cells, checkpoint_dir=tmp_path)
    cells.var["highly_variable"] = np.arange(cells.n_vars) >= cells.n_vars - 40
    with pytest.raises(CheckpointError, match="belongs to another run"):
        fit(cells, checkpoint_dir=tmp_path, resume=True)


def test_resume_needs_to_know_where(cells):
    with pytest.raises(InputError, match="checkpoint_dir"):
        fit(cells, resume=True)


def test_ctrl_c_reaches_the_user_and_leaves_everything_as_it_was(cells, tmp_path, monkeypatch, unchanged):
    from scssl.train import loop

    handler = signal.getsignal(signal.SIGINT)
    calls = []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    original = loop._inputs
    monkeypatch.setattr(loop, "_inputs", interrupt)
    with unchanged(cells), pytest.raises(KeyboardInterrupt):
        fit(cells, checkpoint_dir=tmp_path, max_epochs=50)
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.undo()
    resumed = fit(cells, checkpoint_dir=tmp_path, max_epochs=3, resume=True)
    np.testing.assert_array_equal(resumed.embed(cells), fit(cells, max_epochs=3).embed(cells))


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_not_a_number_stops_at_once_and_changes_nothing(cells, monkeypatch, what, unchanged):
    import torch

    from scssl.methods.simclr import SimCLR

    original = SimCLR.loss
    steps = []

    def poisoned(self, views):
        terms = original(self, views)
        steps.append(1)
        if len(steps) == 3:
            bad = torch.tensor(float("nan")) if what == "loss" else (terms["loss"] * 0).sqrt() * 0
            terms["loss"] = terms["loss"] + bad
        return terms

    monkeypatch.setattr(SimCLR, "loss", poisoned)
    with unchanged(cells), pytest.raises(TrainingError, match=r"'simclr' stopped in epoch 1, step 0"):
        fit(cells, max_epochs=9)
    assert len(steps) == 3


@pytest.mark.parametrize(("where", "code"), [("loss", "gradient_not_finite"), ("mean", "loss_not_finite")])
def test_with_several_processes_all_stop_by_what_they_share(cells, monkeypatch, unchanged, where, code):
    """A loss that is not finite in one process must not stop this one alone: the others would wait for it for ever."""
    from scssl.methods.simclr import SimCLR
    from scssl.train import loop

    class OneOfTwo(loop.Engine):
        alone = False

        def mean(self, value):
            return float("nan") if where == "mean" else value

    original = SimCLR.loss
    monkeypatch.setattr(loop, "Engine", OneOfTwo)
    if where == "loss":
        monkeypatch.setattr(SimCLR, "loss", lambda *a: {"loss": original(*a)["loss"] * float("nan")})
    with unchanged(cells), pytest.raises(TrainingError, match=r"'simclr' stopped in epoch 0") as caught:
        fit(cells)
    assert caught.value.code == code


@pytest.fixture
def two_threads():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_views_made_ahead_by_a_second_thread_are_the_same(cells, request):
    alone = fit(cells, dropout=0.1).embed(cells)
    request.getfixturevalue("two_threads")
    np.testing.assert_array_equal(fit(cells, dropout=0.1).embed(cells), alone)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_errors_with_a_second_thread_leave_everything_as_it_was(cells, monkeypatch, unchanged, two_threads, kind):
    from scssl.methods.simclr import SimCLR
    from scssl.train import loop

    def broken(*arguments):
        raise kind("now")

    for place, name in ((SimCLR, "loss"), (loop, "_inputs")):
        with monkeypatch.context() as patch, unchanged(cells):
            patch.setattr(place, name, broken)
            with pytest.raises(kind, match="now"):
                fit(cells)


def test_early_stopping(cells):
    model = fit(cells, max_epochs=200, patience=1, learning_rate=1e-7)
    assert len(model.history) < 50


def test_global_state_is_left_alone(cells):
    import random
    import warnings

    import torch

    def state():
        return (
            random.getstate(),
            np.random.get_state()[1].tobytes(),  # noqa: NPY002 - the global generator is what is watched
            torch.get_rng_state().numpy().tobytes(),
            torch.get_num_threads(),
            torch.get_float32_matmul_precision(),
            torch.is_grad_enabled(),
            list(warnings.filters),
        )

    before = state()
    fit(cells, dropout=0.2)
    assert state() == before


def test_watching_does_not_disturb_the_training(cells, monkeypatch):
    from scssl.train import loop

    watched = fit(cells, dropout=0.2).embed(cells)
    monkeypatch.setattr(loop, "_probe", lambda *_: {"effective_rank": 9.0})
    np.testing.assert_array_equal(fit(cells, dropout=0.2).embed(cells), watched)


def test_views_of_a_cell_are_told_from_other_cells():
    adata = ssl.datasets.synthetic(n_obs=300, n_vars=100, n_types=4, seed=0)
    ssl.pp.recipe(adata)
    history = ssl.tl.fit(adata, "simclr", max_epochs=15, batch_size=64).history
    gap = history["positive_similarity"] - history["negative_similarity"]
    assert history["positive_similarity"].between(-1, 1).all()
    assert history["negative_similarity"].between(-1, 1).all()
    assert gap.iloc[-1] > gap.iloc[0] + 0.1
