"""The second stage: labels on a pretrained encoder."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import scssl as ssl
from scssl._errors import CheckpointError, InputError, KeyNotFoundError, NotFittedError, ScsslWarning
from scssl.data.cells import Codes
from scssl.models.finetune import Supervised, Tuning, _trained, _weights
from scssl.models.holdout import by_cell, by_group
from scssl.models.saved import MANIFEST
from scssl.train.batches import Batches

QUICK = {"max_epochs": 30, "batch_size": 64}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=400, n_vars=60, n_types=3, n_batches=4, seed=0)
    ssl.pp.recipe(adata)
    return adata


@pytest.fixture(scope="module")
def pretrained(cells):
    return ssl.tl.fit(cells[:300].copy(), "simclr", max_epochs=3, batch_size=64, dropout=0.1)


@pytest.fixture(scope="module")
def typed(cells, pretrained):
    return ssl.tl.finetune(cells[:300].copy(), pretrained, label_key="cell_type", **QUICK)


def state(model):
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def right(adata, key):
    return (adata.obs[f"{key}_label"].astype(str) == adata.obs["cell_type"].astype(str)).mean()


def test_the_head_alone_leaves_the_embedding_as_it_was(cells, pretrained):
    """One module in pretraining, zero-shot and fine-tuning: the transfer changes no bit."""
    before, weights = pretrained.embed(cells), state(pretrained)
    tuned = ssl.tl.finetune(cells[:300].copy(), pretrained, label_key="cell_type", train="head", **QUICK)
    np.testing.assert_array_equal(tuned.embed(cells), before)
    assert type(tuned.module.encoder) is type(pretrained.module.encoder)
    assert same(state(pretrained), weights)
    assert pretrained.classes == ()
    assert tuned.module is not pretrained.module


@pytest.mark.parametrize(("which", "moved"), [("head", set()), ("last", {"3"}), ("all", {"0", "3"})])
def test_what_is_trained_moves_and_the_rest_does_not(cells, pretrained, which, moved):
    before = state(pretrained)
    tuned = ssl.tl.finetune(cells[:300].copy(), pretrained, label_key="cell_type", train=which, max_epochs=2)
    after = state(tuned)
    linear = {"0": "encoder.parts.0.0.weight", "3": "encoder.parts.0.3.weight"}
    assert {place for place, name in linear.items() if not torch.equal(before[name], after[name])} == moved
    norm = torch.equal(before["encoder.parts.0.1.running_mean"], after["encoder.parts.0.1.running_mean"])
    assert norm == (which != "all")
    assert same({n: v for n, v in before.items() if "project" in n}, {n: v for n, v in after.items() if "project" in n})
    assert same(state(pretrained), before)


@pytest.mark.parametrize("which", ["head", "last", "all"])
def test_labels_of_unseen_cells_are_found(cells, pretrained, which):
    tuned = ssl.tl.finetune(cells[:300].copy(), pretrained, label_key="cell_type", train=which, **QUICK)
    query = cells[300:].copy()
    ssl.tl.annotate(query, classifier="head", model=tuned)
    probe, labelled = cells[300:].copy(), cells[:300].copy()
    for adata in (probe, labelled):
        ssl.tl.embed(adata, pretrained)
    known = {"reference": labelled, "use_rep": "X_simclr", "label_key": "cell_type"}
    ssl.tl.annotate(probe, **known, classifier="linear")
    assert right(probe, "simclr") > 0.7
    assert right(query, "simclr") > right(probe, "simclr") - 0.05
    assert query.obs["simclr_confidence"].between(1 / 3, 1).all()
    assert isinstance(query.obs["simclr_label"].dtype, pd.CategoricalDtype)


def test_supervised_from_scratch_is_the_same_call_on_an_untrained_encoder(cells):
    scratch = ssl.tl.fit(cells[:300].copy(), "untrained")
    tuned = ssl.tl.finetune(cells[:300].copy(), scratch, label_key="cell_type", train="all", **QUICK)
    query = cells[300:].copy()
    ssl.tl.annotate(query, classifier="head", model=tuned, key_added="scratch")
    assert right(query, "scratch") > 0.7


def test_scratch_can_have_the_encoder_of_any_method(cells):
    mae = ssl.tl.fit(cells[:300].copy(), "mae", hidden=(20,), width=8, max_epochs=1)
    same = {"hidden": (20,), "width": 8, "activation": "selu", "batch_norm": "none", "hidden_dropout": 0.1}
    scratch = ssl.tl.fit(cells[:300].copy(), "untrained", **same)
    assert str(scratch.module.encoder) == str(mae.module.encoder)
    before = ssl.tl.fit(cells[:300].copy(), "untrained")
    assert "BatchNorm1d" in str(before.module.encoder)


def test_what_is_written(cells, pretrained, unchanged):
    labelled = cells[:300].copy()
    tuned = ssl.tl.finetune(labelled, pretrained, label_key="cell_type", max_epochs=2, seed=3)
    record = labelled.uns["scssl"]["models"]["simclr_finetuned"]
    about = json.loads(record["finetuned"])
    assert about["train"] == "head"
    assert about["classes"] == 3
    assert about["n_labelled"] == 300
    assert about["pretrained_on"] == pretrained.record["data_id"]
    assert record["seed"] == 3
    assert record["epochs"] == len(record["history"]) == 2
    assert {"loss", "accuracy", "validation_loss", "validation_accuracy"} <= set(record["history"])
    np.testing.assert_array_equal(labelled.obsm["X_simclr_finetuned"], tuned.embed(labelled))
    assert "3 labels" in repr(tuned)
    assert "| labels | 'type0', 'type1', 'type2' |" in tuned.card() or "| labels |" in tuned.card()
    assert ssl.get.history(labelled, "simclr_finetuned").shape[0] == 2


def test_from_a_path(cells, pretrained, tmp_path):
    cells[:300].write_h5ad(tmp_path / "cells.h5ad")
    pretrained.save(tmp_path / "model")
    from_path = ssl.tl.finetune(tmp_path / "cells.h5ad", tmp_path / "model", label_key="cell_type", max_epochs=3)
    from_memory = ssl.tl.finetune(cells[:300].copy(), pretrained, label_key="cell_type", max_epochs=3)
    assert same(state(from_path), state(from_memory))


def test_same_seed_same_bits_and_another_seed_others(cells, pretrained, typed):
    again = ssl.tl.finetune(cells[:300].copy(), pretrained, label_key="cell_type", **QUICK)
    assert same(state(again), state(typed))
    other = ssl.tl.finetune(cells[:300].copy(), pretrained, label_key="cell_type", seed=1, **QUICK)
    assert not same(state(other), state(typed))


def test_a_stopped_run_resumes_to_the_same_bits(cells, pretrained, tmp_path):
    options = {"label_key": "cell_type", "train": "all", "batch_size": 64, "checkpoint_dir": tmp_path}
    whole = ssl.tl.finetune(cells[:300].copy(), pretrained, **{**options, "checkpoint_dir": None}, max_epochs=9)
    ssl.tl.finetune(cells[:300].copy(), pretrained, **options, max_epochs=4)
    resumed = ssl.tl.finetune(cells[:300].copy(), pretrained, **options, max_epochs=9, resume=True)
    assert same(state(resumed), state(whole))
    with pytest.raises(CheckpointError, match="belongs to another run"):
        ssl.tl.finetune(cells[:300].copy(), pretrained, **{**options, "train": "last"}, resume=True)


def test_the_weights_of_the_best_epoch_are_kept(cells, pretrained):
    """Trained for long on noise, the loss of cells held out rises: the model is that of its lowest point."""
    noise = cells[:300].copy()
    noise.obs["cell_type"] = np.random.default_rng(0).choice(["a", "b"], 300)
    options = {"label_key": "cell_type", "train": "all", "batch_size": 64, "learning_rate": 0.01}
    long = ssl.tl.finetune(noise.copy(), pretrained, max_epochs=12, patience=None, **options)
    loss = long.history["validation_loss"]
    best = int(loss.idxmin())
    assert best < 8
    assert loss.iloc[-1] > loss.min()
    short = ssl.tl.finetune(noise.copy(), pretrained, max_epochs=best + 1, patience=None, **options)
    assert same(state(short), state(long))
    patient = ssl.tl.finetune(noise.copy(), pretrained, max_epochs=12, patience=2, **options)
    assert len(patient.history) < 12
    assert same(state(patient), state(long))


def test_save_and_load(cells, typed, tmp_path):
    typed.save(tmp_path / "model")
    back = ssl.load(tmp_path / "model")
    assert back.classes == typed.classes
    assert sorted(p.suffix for p in (tmp_path / "model").iterdir()) == [".json", ".md", ".safetensors"]
    for a, b in zip(back.classify(cells), typed.classify(cells), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(back.embed(cells), typed.embed(cells))


@pytest.mark.parametrize("classes", [["type0", "type1"], ["only"], []])
def test_classes_that_do_not_fit_the_weights_are_refused(typed, tmp_path, classes):
    typed.save(tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / MANIFEST).read_text())
    (tmp_path / "model" / MANIFEST).write_text(json.dumps(manifest | {"classes": classes}))
    with pytest.raises(CheckpointError, match="does not fit"):
        ssl.load(tmp_path / "model")


def test_genes_are_aligned_by_name(cells, typed):
    order = np.random.default_rng(0).permutation(cells.n_vars)
    labels, confidence = typed.classify(cells)
    shuffled, other = typed.classify(cells[:, order].copy())
    np.testing.assert_array_equal(labels, shuffled)
    np.testing.assert_allclose(confidence, other, rtol=1e-5)
    few = cells[:, :55].copy()
    with pytest.warns(ScsslWarning, match="genes of the model were found"):
        ssl.tl.annotate(few, classifier="head", model=typed, key_added="few")


def test_finetuning_on_a_data_set_with_other_genes(cells, pretrained):
    n = len(pretrained.features["rna"])
    names = pretrained.features["rna"]
    other = cells[:300, [*names[5:], *[g for g in cells.var_names if g not in set(names)]]].copy()
    with pytest.warns(ScsslWarning, match=f"{n - 5} of {n} genes"):
        tuned = ssl.tl.finetune(other, pretrained, label_key="cell_type", max_epochs=2)
    about = json.loads(tuned.record["finetuned"])
    assert about["coverage"]["rna"] == {"found": n - 5, "of": n}
    assert list(tuned.features["rna"]) == list(names)


def test_unlabelled_cells_are_left_out_and_counted(cells, pretrained):
    labelled = cells[:300].copy()
    labels = labelled.obs["cell_type"].astype(object)
    labels.iloc[:40] = None
    labels.iloc[40:50] = "Unknown"
    labelled.obs["partly"] = labels
    with pytest.warns(ScsslWarning, match="50 of 300 cells have no label in 'partly' and are left out"):
        tuned = ssl.tl.finetune(labelled, pretrained, label_key="partly", max_epochs=2)
    assert tuned.record["n_obs"] == 250
    assert "Unknown" not in tuned.classes
    assert "50 of 300" in tuned.record["warnings"]
    rest = labelled[50:].copy()
    alone = ssl.tl.finetune(rest, pretrained, label_key="cell_type", max_epochs=2)
    assert tuned.classes == alone.classes


def test_whole_groups_are_held_out(cells, pretrained):
    tuned = ssl.tl.finetune(cells.copy(), pretrained, label_key="cell_type", group_key="batch", max_epochs=2)
    about = json.loads(tuned.record["finetuned"])
    assert about["held_out"].startswith("batch: 'batch")
    sizes = cells.obs["batch"].astype(str).value_counts()
    assert about["n_held_out"] in set(sizes)


def test_no_group_to_spare_is_said(cells, pretrained):
    labelled = cells[:300].copy()
    labelled.obs["donor"] = labelled.obs["cell_type"].astype(str)  # each donor has the only cells of a label
    with pytest.warns(ScsslWarning, match="No group of 'donor' can be held out"):
        ssl.tl.finetune(labelled, pretrained, label_key="cell_type", group_key="donor", max_epochs=1)


def test_holdouts():
    codes = np.repeat([0, 1, 2], [100, 9, 30])
    held = by_cell(codes, seed=0)
    assert [int(held[codes == c].sum()) for c in range(3)] == [10, 0, 3]
    assert not np.array_equal(by_cell(codes, seed=1), held)
    groups = np.array(["abcdefgh"[i % 8] for i in range(139)])
    held = by_group(codes, groups, seed=0)
    assert 0.1 <= held.mean() <= 0.3
    assert set(groups[held]).isdisjoint(groups[~held])
    assert set(codes[~held]) == {0, 1, 2}
    assert not by_group(codes, codes.astype(str), seed=0).any()
    assert not by_group(codes, np.repeat("one", 139), seed=0).any()


def test_weights_make_labels_count_alike():
    codes = np.repeat([0, 1, 2], [50, 40, 10])
    weights = _weights(codes, 3, Tuning("x")).numpy()
    from sklearn.utils.class_weight import compute_class_weight

    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=codes), rtol=1e-6)
    np.testing.assert_allclose(weights[codes].mean(), 1, rtol=1e-6)
    assert _weights(codes, 3, Tuning("x", class_weight=None)).tolist() == [1, 1, 1]


def test_the_loss_is_cross_entropy(cells, pretrained):
    import copy

    module = copy.deepcopy(pretrained.module)
    module.add_classifier(["a", "b", "c"])
    weights = torch.tensor([0.5, 2.0, 1.0])
    supervised = Supervised(module, _trained(module, "head"), weights).eval()
    known, _ = pretrained.cells(cells[:20].copy())
    label = np.arange(20) % 3
    known = known.with_codes(label=Codes(label, ("a", "b", "c")))
    batch = Batches(known).take(np.arange(20))
    terms = supervised.objective(batch)
    logits = module.classifier(module.embed(batch)).detach().double().numpy()
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    w = weights.numpy()[label]
    assert float(terms["loss"].detach()) == pytest.approx(-(w * logp[np.arange(20), label]).sum() / w.sum(), rel=1e-5)
    assert float(terms["accuracy"]) == pytest.approx((logits.argmax(1) == label).mean())


def test_every_method_learns_labels(cells):
    from scssl._registry import METHODS

    for name in ("pca", "byol", "random"):
        quick = {"max_epochs": 1} if METHODS.describe(name).trains else {}
        model = ssl.tl.fit(cells[:300].copy(), name, **quick)
        before = model.embed(cells)
        tuned = ssl.tl.finetune(cells[:300].copy(), model, label_key="cell_type", max_epochs=2)
        np.testing.assert_array_equal(tuned.embed(cells), before)
        assert len(tuned.classify(cells)[0]) == cells.n_obs


@pytest.mark.parametrize("which", ["head", "last", "all"])
def test_a_kept_projection_is_what_is_classified(cells, which):
    model = ssl.tl.fit(cells[:300].copy(), "simclr", max_epochs=1, projector=(32, 16), keep_projector=True)
    before = {name: value.clone() for name, value in model.module.project.state_dict().items()}
    tuned = ssl.tl.finetune(cells[:300].copy(), model, label_key="cell_type", train=which, max_epochs=2)
    assert tuned.module.classifier[1].in_features == tuned.n_dims == 16
    moved = {n for n, v in tuned.module.project.state_dict().items() if not torch.equal(v, before[n])}
    assert bool(moved) == (which != "head")
    assert len(tuned.classify(cells)[0]) == cells.n_obs


def test_several_modalities():
    mdata = ssl.datasets.synthetic(150, 50, n_types=3, n_batches=2, modalities=("rna", "prot"))
    ssl.pp.recipe(mdata)
    model = ssl.tl.fit(mdata, "simclr", max_epochs=2, batch_size=64)
    key = "cell_type" if "cell_type" in mdata.obs else "rna:cell_type"
    tuned = ssl.tl.finetune(mdata, model, label_key=key, train="last", max_epochs=15, batch_size=64)
    labels, _ = tuned.classify(mdata)
    assert (labels == mdata.obs[key].astype(str).to_numpy()).mean() > 0.8


def test_a_head_is_made_of_the_reference_if_there_is_none(cells, pretrained):
    query = cells[300:].copy()
    ssl.tl.annotate(query, reference=cells[:300].copy(), label_key="cell_type", classifier="head", model=pretrained)
    assert right(query, "simclr") > 0.7
    assert pretrained.classes == ()


def test_labels_that_the_model_does_not_know_are_told(cells, typed):
    reference = cells[:50].copy()
    reference.obs["cell_type"] = reference.obs["cell_type"].astype(str)
    reference.obs.iloc[:3, reference.obs.columns.get_loc("cell_type")] = "martian"
    query = cells[300:].copy()
    with pytest.warns(ScsslWarning, match=r"never gives 1 of 4 labels of the reference: 'martian'"):
        ssl.tl.annotate(query, reference=reference, label_key="cell_type", classifier="head", model=typed)


def columns(adata, name, values):
    adata.obs[name] = values
    return adata


BAD = [
    ({"label_key": "typ"}, KeyNotFoundError, "unknown_label_key", "is not a column of obs"),
    ({"label_key": "one"}, InputError, "single_label", "all 100 labelled cells are 'b'; a classifier needs two labels"),
    ({"label_key": "none"}, InputError, "single_label", "no cell has a label"),
    ({"label_key": "number"}, InputError, "label_continuous", "looks like a measurement"),
    ({"label_key": "name"}, InputError, "label_unique_per_cell", "different in each of the 100 cells"),
    ({"group_key": "donor"}, KeyNotFoundError, "unknown_group_key", "group_key='donor' is not a column"),
    ({"train": "some"}, InputError, "unknown_choice", "train='some' is not one of 'head', 'last', 'all'"),
    ({"class_weight": "even"}, InputError, "unknown_choice", "class_weight='even'"),
    ({"max_epochs": 0}, InputError, "out_of_range", "max_epochs=0 must be at least 1"),
    ({"learning_rate": -1.0}, InputError, "out_of_range", "learning_rate=-1.0"),
    ({"seed": -1}, InputError, "bad_seed", "seed=-1"),
    ({"resume": True}, InputError, "needs_checkpoint_dir", "resume=True"),
    ({"key_added": "a/b"}, InputError, "key_with_slash", "key_added='a/b'"),
    ({"layer": "nowhere"}, KeyNotFoundError, "unknown_layer", "layer='nowhere'"),
]


@pytest.mark.parametrize(("options", "kind", "code", "words"), BAD, ids=[f"{b[2]} {next(iter(b[0]))}" for b in BAD])
def test_refused_in_words(cells, pretrained, unchanged, options, kind, code, words):
    adata = cells[:100].copy()
    adata.obs["one"] = "b"
    adata.obs["none"] = pd.Series([None] * 100, dtype=object).to_numpy()
    adata.obs["number"] = np.linspace(0, 1, 100)
    adata.obs["name"] = [f"n{i}" for i in range(100)]
    with unchanged(adata), pytest.raises(kind) as caught:
        ssl.tl.finetune(adata, pretrained, **{"label_key": "cell_type", "max_epochs": 1, **options})
    assert caught.value.code == code
    assert words in caught.value.message


def test_refused_by_the_model(cells, pretrained, typed, unchanged):
    pca = ssl.tl.fit(cells.copy(), "pca", width=5)
    query = cells[300:].copy()
    with unchanged(query):
        with pytest.raises(InputError, match="method 'pca' has no encoder whose weights could be trained"):
            ssl.tl.finetune(query, pca, label_key="cell_type", train="all")
        with pytest.raises(NotFittedError, match="has no classification head"):
            ssl.tl.annotate(query, classifier="head", model=pretrained)
        with pytest.raises(InputError, match="there is none"):
            ssl.tl.annotate(query, classifier="head")
        with pytest.raises(InputError, match="model= is for classifier='head'"):
            ssl.tl.annotate(query, reference=cells, use_rep="X_pca", label_key="cell_type", model=typed)
        with pytest.raises(InputError, match="first argument is a model"):
            ssl.tl.finetune(typed, query, label_key="cell_type")
        none = ad.AnnData(query.X[:, :30], obs=query.obs[[]], var=pd.DataFrame(index=[f"x{i}" for i in range(30)]))
        with pytest.raises(InputError, match=r"Only 0 of the \d+ genes of the model"):
            ssl.tl.annotate(none, classifier="head", model=typed)


def test_frozen_layers_get_no_gradient(cells, pretrained):
    import copy

    module = copy.deepcopy(pretrained.module)
    module.add_classifier(["a", "b"])
    supervised = Supervised(module, _trained(module, "last"), torch.ones(2)).train()
    known, _ = pretrained.cells(cells[:16].copy())
    known = known.with_codes(label=Codes(np.arange(16) % 2, ("a", "b")))
    supervised.objective(Batches(known).take(np.arange(16)))["loss"].backward()
    touched = {name for name, weight in module.named_parameters() if weight.grad is not None}
    assert {n for n in touched if not n.startswith("classifier")} == {
        f"encoder.parts.0.{i}.{kind}" for i in (3, 4) for kind in ("weight", "bias")
    }
    assert isinstance(module.encoder.parts[0][3], nn.Linear)
