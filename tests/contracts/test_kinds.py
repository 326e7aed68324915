"""What methods of other kinds lean on: phases with two optimisers, hooks, a place for each cell, tokens of counts."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import anndata as ad
import contract_fixtures as kinds
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scssl as ssl
from scssl._errors import CheckpointError, InputError, ScsslWarning
from scssl.data.cells import Cells
from scssl.methods._base import Transductive
from scssl.models.holdout import at_random
from scssl.train import checkpoint
from scssl.train.batches import Batches, Draw

N = 90


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    adata = ssl.datasets.synthetic(n_obs=N, n_vars=60, n_types=3, n_batches=2, seed=0)
    adata = adata[:, np.asarray(adata.X.sum(axis=0)).ravel() > 0].copy()
    ssl.pp.recipe(adata)
    return adata


def fit(adata, name, **options):
    return ssl.tl.fit(adata.copy(), name, **{"batch_key": "batch", "max_epochs": 9, "batch_size": 32} | options)


def everything(module):
    """Weights and all buffers, also those that a saved model does without."""
    return {**dict(module.named_buffers()), **module.state_dict()}


def same(one, other):
    """Two models are the same to the last bit: weights, buffers, losses."""
    mine, theirs = everything(one.module), everything(other.module)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    for term in set(one.history) - {"seconds"}:
        if (
            term == "effective_rank"
        ):  # watched only: eigenvalues, whose last bits depend on where an array lies in memory
            np.testing.assert_allclose(one.history[term], other.history[term], rtol=1e-12)
            continue
        np.testing.assert_array_equal(one.history[term], other.history[term], err_msg=term)


@pytest.fixture
def stopped(cells, tmp_path, monkeypatch):
    """``stopped(kind, name, epoch)``: a run that was stopped in the middle of an epoch and then resumed."""

    def run(kind, name, epoch, **options):
        after_step = kind.after_step

        def interrupt(self, progress):
            if progress * 9 > epoch + 0.5:
                raise KeyboardInterrupt
            after_step(self, progress)

        with monkeypatch.context() as patch:
            patch.setattr(kind, "after_step", interrupt)
            with pytest.raises(KeyboardInterrupt):
                fit(cells, name, checkpoint_dir=tmp_path, **options)
        return fit(cells, name, checkpoint_dir=tmp_path, resume=True, **options)

    return run


# phases and turns


@pytest.fixture(scope="module")
def uninterrupted(cells):
    return {name: fit(cells, name) for name in ("adversarial", "paired", "tokens")}


@pytest.mark.parametrize("epoch", range(9))
def test_a_run_stopped_in_any_phase_resumes_to_the_same_bits(epoch, stopped, uninterrupted):
    """Three epochs to a phase; two optimisers in each, of different kinds."""
    same(stopped(kinds.Adversarial, "adversarial", epoch), uninterrupted["adversarial"])


@pytest.mark.parametrize(("epochs", "phase"), [(2, "warm-up"), (3, "warm-up"), (5, "contest"), (8, "end")])
def test_a_checkpoint_holds_the_optimizers_of_its_phase(epochs, phase, cells, tmp_path, monkeypatch):
    def stop(self, epoch, cells):
        if epoch == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(kinds.Adversarial, "before_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(cells, "adversarial", checkpoint_dir=tmp_path)
    from safetensors.torch import load_file

    names = {tuple(n.split("/")[1:3]) for n in load_file(checkpoint.path_in(tmp_path)) if n.startswith("optimizer/")}
    assert names == {(phase, "0"), (phase, "1")}


def test_a_run_of_several_phases_has_one_length(cells, tmp_path):
    fit(cells, "adversarial", checkpoint_dir=tmp_path, max_epochs=3)
    with pytest.raises(CheckpointError) as caught:
        fit(cells, "adversarial", checkpoint_dir=tmp_path, max_epochs=6, resume=True)
    assert caught.value.code == "other_length"


def test_turns_come_in_their_order_and_number(cells, monkeypatch):
    """Two steps of the discriminator and one of the generator; then one and one; then one and two."""
    said = []
    for objective in ("told_apart", "deceived"):
        original = getattr(kinds.Adversarial, objective)

        def spoken(self, inputs, original=original, objective=objective):
            said.append(objective[0])
            return original(self, inputs)

        monkeypatch.setattr(kinds.Adversarial, objective, spoken)
    history = fit(cells, "adversarial", max_epochs=3).history  # three mini-batches an epoch
    assert "".join(said) == "ttd" * 3 + "td" * 3 + "tdd" * 3
    assert set(history) >= {"loss", "told_apart", "reconstruction"}
    assert np.isfinite(history[["loss", "told_apart", "reconstruction"]]).all(axis=None)


@pytest.mark.parametrize("part", ["discriminator", "encoder", "generator"])
def test_a_turn_moves_what_it_names_and_nothing_else(part, cells, monkeypatch):
    objective = "told_apart" if part == "discriminator" else "deceived"
    turn = kinds.Turn((part,), objective)
    start, build = {}, kinds.Adversarial.build

    def remembering(self):
        build(self)
        start.update({name: weight.detach().clone() for name, weight in self.named_parameters()})

    monkeypatch.setattr(kinds.Adversarial, "build", remembering)
    monkeypatch.setattr(kinds.Adversarial, "phases", lambda self: (kinds.Phase(turns=(turn,)),))
    made = fit(cells, "adversarial", max_epochs=2).module
    moved = {name for name, weight in made.named_parameters() if not torch.equal(weight, start[name])}
    assert moved
    assert {name.split(".")[0] for name in moved} == {part}


def test_a_turn_of_an_unknown_part_is_refused_before_the_first_step(cells, monkeypatch, unchanged):
    turn = kinds.Turn(("critic",))
    monkeypatch.setattr(kinds.Adversarial, "phases", lambda self: (kinds.Phase(turns=(turn,)),))
    adata = cells.copy()
    with (
        unchanged(adata),
        pytest.raises(InputError, match="trains 'critic', and the module has encoder, generator") as e,
    ):
        ssl.tl.fit(adata, "adversarial")
    assert e.value.code == "unknown_part"


def test_turns_are_taken_on_one_device(cells, unchanged):
    """Gradients of parts that a turn leaves alone would be waited for."""
    adata = cells.copy()
    with (
        unchanged(adata),
        pytest.raises(InputError, match="devices=2: 'adversarial' trains its parts in turns") as caught,
    ):
        ssl.tl.fit(adata, "adversarial", devices=2, accelerator="cpu")
    assert (caught.value.code, caught.value.parameter) == ("bad_devices", "devices")


ON_TWO = """
import sys
sys.path.insert(0, sys.argv[1])
import anndata, fixtures, scssl as ssl
if __name__ == "__main__":
    adata = anndata.read_h5ad(sys.argv[2])
    with fixtures.registered():
        model = ssl.tl.fit(adata, "paired", max_epochs=4, batch_size=16, devices=2, accelerator="cpu", progress=False)
    assert len(model.history) == 4
"""


@pytest.mark.slow  # three processes that import torch and Lightning
def test_two_processes_agree_on_the_cells_of_an_epoch(cells, tmp_path):
    """Each finds its own mutual neighbours, by norms of its own; they take as many steps all the same."""
    cells.write_h5ad(tmp_path / "cells.h5ad")
    (tmp_path / "run.py").write_text(ON_TWO)
    command = [sys.executable, str(tmp_path / "run.py"), str(Path(__file__).parent), str(tmp_path / "cells.h5ad")]
    subprocess.run(command, check=True, timeout=200)


# before and between epochs


@pytest.mark.parametrize("epoch", range(7))
def test_a_run_that_pairs_cells_again_resumes_to_the_same_bits(epoch, stopped, uninterrupted):
    """Neighbours are found again in epochs 0, 3 and 6 and kept in between."""
    same(stopped(kinds.Paired, "paired", epoch), uninterrupted["paired"])


def test_pairs_change_between_epochs_and_are_not_saved(cells, monkeypatch, tmp_path):
    found, before_epoch = [], kinds.Paired.before_epoch

    def watched(self, epoch, cells):
        assert not self.training
        before_epoch(self, epoch, cells)
        found.append((epoch, self.neighbors.clone()))

    monkeypatch.setattr(kinds.Paired, "before_epoch", watched)
    model = fit(cells, "paired", max_epochs=4)
    assert [epoch for epoch, _ in found] == [0, 1, 2, 3]
    changed = [not torch.equal(a, b) for (_, a), (_, b) in pairwise(found)]
    assert changed == [False, False, True]
    model.save(tmp_path / "model")
    back = ssl.load(tmp_path / "model")
    np.testing.assert_array_equal(back.embed(cells), model.embed(cells))
    assert "neighbors" not in dict(back.module.named_buffers())


def test_an_epoch_is_of_the_cells_that_the_method_trains_on(cells, monkeypatch):
    """Each of them once; those held out are never among them; all cells are embedded all the same."""
    seen, inputs = [], kinds.Paired.inputs

    def watched(self, batch, draw):
        if self.training:
            seen.append((draw.counters[0], draw.index, np.flatnonzero(self.mutual.numpy())))
        return inputs(self, batch, draw)

    monkeypatch.setattr(kinds.Paired, "inputs", watched)
    model = fit(cells, "paired", max_epochs=4, held_out=0.2)
    held = at_random(N, 0.2, seed=0)
    assert len(held) == 18
    for epoch in range(4):
        index, allowed = zip(*[(index, mutual) for at, index, mutual in seen if at == epoch], strict=True)
        assert sorted(np.concatenate(index).tolist()) == np.setdiff1d(allowed[0], held).tolist()
        assert 0 < len(allowed[0]) < N
    assert np.isfinite(model.history["validation_loss"]).all()
    assert model.embed(cells).shape == (N, 8)


def test_a_hook_that_draws_from_torch_is_reproducible_and_leaves_its_generator_alone(cells, monkeypatch, unchanged):
    drawn = []

    def random(self, epoch, cells):
        drawn.append(torch.rand(1).item())

    monkeypatch.setattr(kinds.Tokens, "before_epoch", random)
    adata = cells.copy()
    fit(adata, "tokens", max_epochs=1)  # what torch imports at its first step changes the warning filters
    drawn.clear()
    for _ in range(2):
        with unchanged(adata):
            fit(adata, "tokens", max_epochs=3)
    assert drawn[:3] == drawn[3:]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("name", ["adversarial", "paired", "tokens"])
def test_inputs_made_ahead_by_a_second_thread_are_the_same(name, cells, uninterrupted):
    torch.set_num_threads(2)
    try:
        ahead = fit(cells, name)
    finally:
        torch.set_num_threads(1)
    np.testing.assert_allclose(ahead.embed(cells), uninterrupted[name].embed(cells), rtol=1e-3, atol=1e-4)


def test_random_numbers_of_a_step_are_of_its_name_seed_epoch_and_step(cells):
    batches = Batches(Cells.from_data(cells))

    def drawn(name="a", seed=0, counters=(1, 2)):
        draw = Draw(seed, counters, np.arange(3), batches)
        return torch.rand(4, generator=draw.generator(name)).tolist()

    others = [drawn("b"), drawn(seed=1), drawn(counters=(2, 1)), drawn(counters=(1, 3))]
    assert drawn() == drawn()
    assert all(other != drawn() for other in others)


# without torch


def test_the_contract_is_imported_without_torch():
    code = "import sys, scssl.methods._base, scssl.data.cells; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_method_without_layers_is_saved_and_told_apart(cells, tmp_path, unchanged):
    model = ssl.tl.fit(cells.copy(), "projected")
    model.save(tmp_path / "model")
    back = ssl.load(tmp_path / "model")
    np.testing.assert_array_equal(back.embed(cells), model.embed(cells))
    adata = cells.copy()
    with unchanged(adata):
        for call in (
            lambda: ssl.tl.finetune(adata, model, label_key="cell_type"),
            lambda: ssl.tl.fit(adata, "projected", init=model),
        ):
            with pytest.raises(InputError, match="'projected' is not a network of scssl") as caught:
                call()
            assert caught.value.code == "not_a_network"
        with pytest.raises(InputError, match="'projected' does not learn from a query") as caught:
            model.module.continued(Cells.from_data(adata), None)
        assert caught.value.code == "cannot_continue"


def test_a_method_without_layers_reconstructs(cells):
    adata = cells.copy()
    model = ssl.tl.fit(adata, "projected", width=60)  # as many axes as genes: nothing is lost
    ssl.tl.reconstruct(adata, model)
    np.testing.assert_allclose(adata.layers["projected_reconstructed"], cells.X.toarray(), atol=1e-5)


# the cells that were placed


@pytest.fixture(scope="module")
def placed(cells):
    return ssl.tl.fit(cells.copy(), "placed", batch_key="batch", width=5)


def test_placed_cells_come_back_from_a_folder(placed, cells, tmp_path):
    assert isinstance(placed.module, Transductive)
    placed.save(tmp_path / "model")
    back = ssl.load(tmp_path / "model")
    assert back.n_dims == 5
    np.testing.assert_array_equal(back.embed(cells), placed.embed(cells))
    assert back.embed(cells).dtype == np.float32
    cells.write_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(back.embed(tmp_path / "cells.h5ad"), placed.embed(cells))
    with pytest.raises(InputError, match="'placed' is transductive"):
        back.embed(cells[:50].copy())


def test_other_cells_have_no_place(placed, cells, unchanged):
    fewer = cells[:50].copy()
    with (
        unchanged(fewer),
        pytest.raises(InputError, match=r"Fit it to all cells together.*ssl\.tl\.annotate") as caught,
    ):
        ssl.tl.embed(fewer, placed)
    assert (caught.value.code, caught.value.parameter) == ("transductive", "model")
    again = cells.copy()
    ssl.tl.embed(again, placed)
    np.testing.assert_array_equal(again.obsm["X_placed"], placed.embed(cells))


def test_a_place_that_is_not_a_number_is_an_error(cells, monkeypatch):
    fit_ = kinds.Placed.fit

    def broken(self, cells, run):
        history = fit_(self, cells, run)
        self.fitted[3] = np.nan
        return history

    monkeypatch.setattr(kinds.Placed, "fit", broken)
    adata = cells.copy()
    with pytest.raises(ssl.TrainingError, match="The embedding of 1 of 90 cells is not finite"):
        ssl.tl.fit(adata, "placed")
    assert "X_placed" not in adata.obsm


def test_methods_of_every_kind_are_compared(cells):
    adata = cells.copy()
    quick = {"max_epochs": 1, "batch_size": 32}
    methods = {name: quick if spec.trains else {} for name, spec in kinds.SPECS.items()}
    ssl.tl.benchmark(adata, methods=methods, batch_key="batch", label_key="cell_type", tasks=["batch_correction"])
    scores = ssl.get.scores(adata)
    assert set(scores["method"]) >= set(kinds.SPECS)
    assert set(scores["status"]) <= {"ok", "not_applicable"}, scores["message"].unique()


# counts as tokens


def test_counts_are_found_where_they_are(cells, uninterrupted):
    """In the layer that the recipe leaves, or in X of an object that has seen no recipe; the model does not mind which."""
    model = uninterrupted["tokens"]
    assert (model.record["values"], model.record["layer"]) == ("counts", "")
    raw = cells.copy()
    raw.X = raw.layers.pop("counts")
    np.testing.assert_array_equal(model.embed(raw), model.embed(cells))
    np.testing.assert_array_equal(fit(raw, "tokens").embed(cells), model.embed(cells))
    elsewhere = cells.copy()
    elsewhere.layers["raw"] = elsewhere.layers.pop("counts")
    np.testing.assert_array_equal(fit(elsewhere, "tokens", layer="raw").embed(cells), model.embed(cells))
    np.testing.assert_array_equal(model.embed(elsewhere, layer="raw"), model.embed(cells))


def test_logarithms_are_no_counts(cells, uninterrupted, unchanged):
    logs = cells.copy()
    del logs.layers["counts"]
    with unchanged(logs), pytest.raises(InputError) as caught:
        ssl.tl.fit(logs, "tokens")
    assert caught.value.parameter in ("data", "layer")
    with unchanged(logs), pytest.raises(InputError):
        uninterrupted["tokens"].embed(logs)


def test_the_run_is_that_of_the_counts(cells, tmp_path):
    """Other logarithms of the same counts are the same run, other counts another one."""
    fit(cells, "tokens", checkpoint_dir=tmp_path, max_epochs=1)
    scaled = cells.copy()
    scaled.X = scaled.X * 0.9
    assert len(fit(scaled, "tokens", checkpoint_dir=tmp_path, max_epochs=2, resume=True).history) == 2
    more = cells.copy()
    more.layers["counts"] = more.layers["counts"] * 2
    with pytest.raises(CheckpointError, match="belongs to another run"):
        fit(more, "tokens", checkpoint_dir=tmp_path, max_epochs=2, resume=True)


@pytest.mark.parametrize("epoch", [0, 4])
def test_a_run_on_tokens_resumes_to_the_same_bits(epoch, stopped, uninterrupted):
    same(stopped(kinds.Tokens, "tokens", epoch), uninterrupted["tokens"])


def test_genes_that_are_no_words_are_unknown(cells, uninterrupted):
    names = cells.var_names[:10].tolist()
    other = cells.copy()
    other.var_names = [f"strange{name}" if name in names else name for name in other.var_names]
    token_of = fit(other, "tokens", max_epochs=1).module.token_of
    strange = other.var_names.str.startswith("strange")
    assert (token_of.numpy() == kinds.Tokens.unknown).tolist() == strange.tolist()
    with pytest.warns(ScsslWarning, match="50 of 60"):
        uninterrupted["tokens"].embed(cells[:, 10:].copy())


def test_counts_stay_on_disk(cells, tmp_path):
    raw = ad.AnnData(sp.csr_matrix(cells.layers["counts"]), obs=cells.obs, var=cells.var)
    raw.write_h5ad(tmp_path / "raw.h5ad")
    with ssl.settings.override(in_memory_mb=0):
        model = ssl.tl.fit(tmp_path / "raw.h5ad", "tokens", max_epochs=2, batch_size=32)
        assert not model.record["in_memory"]
        assert model.record["data_id"] == fit(raw, "tokens", batch_key=None, max_epochs=1).record["data_id"]
        np.testing.assert_array_equal(model.embed(tmp_path / "raw.h5ad"), model.embed(cells))
