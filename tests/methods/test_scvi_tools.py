"""scvi-tools behind our functions: the bits of a direct call, nothing of the user's changed, nothing pickled."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from safetensors.torch import save_file

import scssl as ssl
from scssl import _settings
from scssl._errors import ScsslWarning
from scssl.methods.scvi_tools.decode import decode
from scssl.methods.scvi_tools.embed import classify, embed
from scssl.methods.scvi_tools.foreign import read_saved
from scssl.methods.scvi_tools.query import map_query
from scssl.methods.scvi_tools.quiet import quietly
from scssl.methods.scvi_tools.shell import NO_LABEL, Codes, Inputs, shell
from scssl.methods.scvi_tools.state import State, restored
from scssl.methods.scvi_tools.table import TOOLS
from scssl.methods.scvi_tools.train import Run, fit

N, SIZES = 150, {"rna": 30, "protein": 12, "atac": 40}
HERE = [name for name, tool in TOOLS.items() if tool.installed]
RUN = Run(seed=3, max_epochs=2, accelerator="cpu", progress=False)


def cells(tool, n: int = N, *, seed: int = 0, batches=("b0", "b1"), labels=("T", "B", "NK")) -> Inputs:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, len(labels), n)
    counts = {
        "rna": sp.csr_matrix(rng.poisson(0.5 + 2 * (kind[:, None] == np.arange(30) % 3)).astype(np.float32)),
        "protein": rng.poisson(5.0, (n, 12)).astype(np.float32),
        "atac": sp.csr_matrix((rng.random((n, 40)) < 0.3).astype(np.float32)),
    }
    if tool.values == "log":
        counts["rna"] = counts["rna"].log1p()
    return Inputs(
        {m: counts[m] for m in tool.modalities},
        {m: [f"{m}{i}" for i in range(SIZES[m])] for m in tool.modalities},
        batch=Codes(rng.integers(0, len(batches), n), tuple(batches)),
        label=Codes(np.where(rng.random(n) < 0.2, -1, kind), tuple(labels)) if "labels" in tool.needs else None,
    )


@pytest.fixture(scope="module")
def fits() -> dict[str, tuple[Inputs, State, list]]:
    return {}


@pytest.fixture
def trained(fits):
    """``trained(name)``: cells, state and history of a model, trained once."""

    def get(name: str) -> tuple[Inputs, State, list]:
        if name not in fits:
            inputs = cells(TOOLS[name])
            fits[name] = (inputs, *fit(TOOLS[name], inputs, {}, RUN))
        return fits[name]

    return get


def direct(name: str, inputs: Inputs, **init):
    """The model and its data by scvi-tools alone, as their tutorials do it."""
    import scvi

    scvi.settings.seed = RUN.seed
    n = len(inputs.batch.values)
    obs = pd.DataFrame({"sample": pd.Categorical.from_codes(inputs.batch.values, inputs.batch.names)})
    obs.index = pd.Index([f"cell{i}" for i in range(n)])
    parts = {
        m: ad.AnnData(x.copy(), obs[[]].copy(), pd.DataFrame(index=inputs.features[m]))
        for m, x in inputs.values.items()
    }
    cls = TOOLS[name].load()
    if len(parts) > 1:
        data = md.MuData(parts)
        data.obs["sample"] = obs["sample"]
        cls.setup_mudata(data, batch_key="sample", modalities={f"{m}_layer": m for m in parts})
    else:
        (data,) = parts.values()
        data.obs["sample"] = obs["sample"]
        more = {}
        if name == "scanvi":
            names = np.array([*inputs.label.names, "Unknown"])
            data.obs["type"] = pd.Categorical(names[inputs.label.values], categories=names)
            more = {"labels_key": "type", "unlabeled_category": "Unknown"}
        cls.setup_anndata(data, batch_key="sample", **more)
    model = cls(data, **init)
    model.train(max_epochs=RUN.max_epochs, accelerator="cpu", enable_progress_bar=False)
    return model, data


@pytest.fixture
def theirs():
    """``theirs(name, inputs)``: a direct call, whose noise and traces are kept out of the other tests."""
    with quietly(0):
        yield direct


@pytest.mark.parametrize("name", HERE)
def test_a_training_has_the_bits_of_a_direct_call(name, trained, theirs):
    inputs, state, history = trained(name)
    model, data = theirs(name, inputs)
    expected = model.module.state_dict()
    assert state.tensors.keys() == expected.keys()
    assert all(torch.equal(state.tensors[k], expected[k].cpu()) for k in expected)
    found = embed(restored(state), inputs, batch_size=128)
    np.testing.assert_array_equal(found, model.get_latent_representation(data, batch_size=128))
    for series, frame in model.history.items():
        if frame.index.name == "epoch":
            np.testing.assert_array_equal([row[series] for row in history], frame[series].astype(float))


@pytest.mark.parametrize("name", HERE)
def test_history_has_a_row_an_epoch(name, trained):
    _, _, history = trained(name)
    assert [row["epoch"] for row in history] == [0, 1]
    assert all(np.isfinite(row["loss"]) and row["loss"] == row["train_loss"] for row in history)
    if name == "totalvi":
        assert history[0]["lr-Adam"] == 4e-3


def defaults(*functions) -> dict:
    """Default of every parameter, by the first function that has it."""
    found: dict = {}
    for function in functions:
        found = {name: p.default for name, p in inspect.signature(function).parameters.items()} | found
    return found


@pytest.mark.parametrize("name", HERE)
def test_the_table_has_their_defaults(name, trained):
    tool, module = TOOLS[name], type(restored(trained(name)[1]).module)
    cls = tool.load()
    plan = cls._training_plan_cls
    init = defaults(cls, *(part.__init__ for part in module.__mro__ if part.__module__.startswith("scvi")))
    training = defaults(
        *(part.train for part in cls.__mro__ if "train" in vars(part)), plan, plan.__mro__[1], module.loss
    )
    training.setdefault("early_stopping", False)  # of their Trainer
    assert dict(tool.init) == {key: init[key] for key in tool.init}
    assert dict(tool.train) == {key: training[key] for key in tool.train}
    assert (tool.max_epochs or None) == training["max_epochs"]


@pytest.mark.parametrize("n", [10, 20_000, 20_001, 50_000, 1_000_000, 5_000_000])
def test_number_of_epochs_is_theirs(n):
    with quietly():
        from scvi.model._utils import get_max_epochs_heuristic

        assert TOOLS["scvi"].epochs(n) == get_max_epochs_heuristic(n)


@pytest.mark.parametrize("name", HERE)
def test_order_and_number_of_cells_do_not_matter(name, trained):
    inputs, state, _ = trained(name)
    fitted = restored(state)
    whole = embed(fitted, inputs)
    order = np.random.default_rng(1).permutation(N)
    np.testing.assert_allclose(embed(fitted, inputs.rows(order), batch_size=7), whole[order], atol=2e-6)
    # other draws of the global generators change nothing
    torch.rand(3)
    np.testing.assert_array_equal(embed(fitted, inputs), whole)


REBUILD = """
import json, os, sys, warnings
from safetensors.torch import load_file
sys.path.insert(0, {tests!r})
from test_scvi_tools import TOOLS, State, cells, embed, np, restored
assert not {{"scvi", "lightning"}} & {{*sys.modules}}
before = dict(os.environ), list(warnings.filters)
for name in {names!r}:
    state = State(load_file(name + ".safetensors"), json.load(open(name + ".json")))
    np.save(name + ".npy", embed(restored(state), cells(TOOLS[name])))
assert "scvi" in sys.modules
assert before == (dict(os.environ), list(warnings.filters))
"""


def test_a_state_survives_files_and_another_process(trained, tmp_path):
    """There scvi-tools are imported by us, which leaves no trace in the environment and prints nothing."""
    for name in HERE:
        _, state, _ = trained(name)
        save_file(state.tensors, tmp_path / f"{name}.safetensors")
        (tmp_path / f"{name}.json").write_text(json.dumps(state.meta))
    code = REBUILD.format(tests=str(Path(__file__).parent), names=HERE)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    for name in HERE:
        inputs, state, _ = trained(name)
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), embed(restored(state), inputs))


def test_weights_of_another_model_are_refused(trained):
    _, state, _ = trained("scvi")
    wrong = State(state.tensors, {**state.meta, "init": {**state.meta["init"], "n_latent": 7}})
    with pytest.raises(ssl.CheckpointError, match="not those of a scVI model"):
        restored(wrong)


@pytest.mark.parametrize("name", ["scvi", "totalvi"])
def test_nothing_of_the_user_changes(name, unchanged, tmp_path, monkeypatch):
    import scvi

    monkeypatch.chdir(tmp_path)
    torch.use_deterministic_algorithms(True)
    scvi.settings.seed = None
    loggers = [logging.getLogger(n) for n in ("scvi", "lightning", "lightning.pytorch", "lightning.fabric", "root")]
    before = [(x.level, x.propagate, [*x.handlers]) for x in loggers]
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    inputs = cells(TOOLS[name])
    names = [f"cell{i}" for i in range(N)]
    mine = ad.AnnData(inputs.values["rna"], obs=pd.DataFrame({"batch": inputs.batch.values.astype(str)}, index=names))
    try:
        with unchanged(mine):
            state, _ = fit(TOOLS[name], inputs, {}, RUN)
            embed(restored(state), inputs)
    finally:
        torch.use_deterministic_algorithms(False)
    assert before == [(x.level, x.propagate, [*x.handlers]) for x in loggers]
    assert cudnn == (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    assert scvi.settings.seed is None
    assert list(tmp_path.iterdir()) == []


def test_a_shell_shares_the_memory_of_the_counts():
    tool = TOOLS["multivi"]
    inputs = cells(tool)
    newer = Inputs({m: sp.csr_array(x) for m, x in inputs.values.items()}, inputs.features, inputs.batch)
    for given in (inputs, newer):
        with quietly():
            made = shell(tool, given)
        for m in tool.modalities:
            assert np.shares_memory(made.mod[m].X.data, given.values[m].data)


def test_cells_are_let_go_of(monkeypatch):
    from scssl.methods.scvi_tools import train

    kept = []
    make = train.shell
    monkeypatch.setattr(train, "shell", lambda *a: kept.append(weakref.ref(made := make(*a))) or made)
    state, _ = fit(TOOLS["scvi"], cells(TOOLS["scvi"]), {}, RUN)
    restored(state)
    gc.collect()
    assert len(kept) == 1
    assert kept[0]() is None


def test_what_the_user_has_set_up_stays_usable():
    import scvi

    inputs = cells(TOOLS["scvi"])
    with quietly(0):
        mine = ad.AnnData(inputs.values["rna"], pd.DataFrame(index=[str(i) for i in range(N)]))
        scvi.model.SCVI.setup_anndata(mine)
        model = scvi.model.SCVI(mine)
        model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
        before = model.get_latent_representation()
    restored(fit(TOOLS["scvi"], inputs, {}, RUN)[0])
    with quietly(0):
        np.testing.assert_array_equal(model.get_latent_representation(mine), before)
        scvi.model.SCVI(mine)


def test_ctrl_c_reaches_the_caller(monkeypatch):
    from scssl.methods.scvi_tools.journal import Journal

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Journal, "log_metrics", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(TOOLS["scvi"], cells(TOOLS["scvi"]), {}, RUN)
    assert signal.getsignal(signal.SIGINT) is handler


def test_weights_that_are_not_numbers_are_an_error():
    with pytest.raises(ssl.TrainingError, match="diverged"):
        fit(TOOLS["scvi"], cells(TOOLS["scvi"]), {"lr": 1e30}, RUN)


def test_the_bar_is_ours(capsys, monkeypatch):
    fit(TOOLS["scvi"], cells(TOOLS["scvi"]), {}, RUN)
    assert capsys.readouterr() == ("", "")
    bars, make = [], _settings.progress
    monkeypatch.setattr(_settings, "progress", lambda *a, **kw: bars.append(make(*a, **kw)) or bars[-1])
    fit(TOOLS["scvi"], cells(TOOLS["scvi"]), {}, Run(max_epochs=2, accelerator="cpu", progress=True))
    out, err = capsys.readouterr()
    assert out == ""
    assert "scVI" in err
    assert [(bar.n, bar.total) for bar in bars] == [(2, 2)]
    assert "loss=" in bars[0].postfix


@pytest.mark.parametrize("name", ["scvi", "totalvi", "multivi", "sysvi"])
def test_dense_values_give_the_same_bits(name, trained):
    inputs, state, _ = trained(name)
    dense = {m: np.asfortranarray(x.toarray() if sp.issparse(x) else x) for m, x in inputs.values.items()}
    again, _ = fit(TOOLS[name], Inputs(dense, inputs.features, inputs.batch), {}, RUN)
    assert all(torch.equal(again.tensors[key], state.tensors[key]) for key in state.tensors)
    np.testing.assert_array_equal(
        embed(restored(again), Inputs(dense, batch=inputs.batch)), embed(restored(state), inputs)
    )


@pytest.mark.slow
def test_types_are_learnt():
    tool = TOOLS["scanvi"]
    train, test = cells(tool, 400), cells(tool, 200, seed=1)
    state, history = fit(tool, train, {}, Run(max_epochs=40, accelerator="cpu", progress=False))
    labelled = test.label.values >= 0
    right = classify(restored(state), test).argmax(axis=1) == test.label.values
    assert right[labelled].mean() > 0.95
    assert history[-1]["loss"] < history[0]["loss"]


# Unseen batches


def elsewhere(tool, seed: int = 5) -> Inputs:
    """Cells of a known and of two unseen batches, under other codes."""
    return cells(tool, 90, seed=seed, batches=("new1", "b1", "new0"))


@pytest.mark.parametrize("name", HERE)
def test_whether_the_encoder_sees_the_batch(name, trained):
    inputs, state, _ = trained(name)
    fitted = restored(state)
    other = Inputs(inputs.values, inputs.features, Codes(1 - inputs.batch.values, inputs.batch.names))
    same = np.array_equal(embed(fitted, inputs), embed(fitted, other))
    assert same is not fitted.sees_batch


@pytest.mark.parametrize("name", HERE)
def test_unseen_batches_are_embedded_or_refused(name, trained):
    _, state, _ = trained(name)
    fitted, query = restored(state), elsewhere(TOOLS[name])
    if fitted.sees_batch:
        with pytest.raises(ssl.InputError, match="'new1', 'new0'") as caught:
            embed(fitted, query)
        assert caught.value.code == "unseen_batch"
    else:
        assert embed(fitted, query).shape[0] == 90


ADDS = [(n, {}) for n in HERE if TOOLS[n].maps_queries] + [
    ("scvi", {"encode_covariates": True}),
    ("multivi", {"encode_covariates": True}),
]


@pytest.mark.parametrize(("name", "config"), ADDS)
def test_a_mapped_query_leaves_the_reference_as_it_is(name, config, trained):
    tool = TOOLS[name]
    inputs, state, _ = trained(name)
    if config:
        state, _ = fit(tool, inputs, config, RUN)
    query = elsewhere(tool)
    mapped, history = map_query(state, query, {}, RUN)
    assert len(history) == 2
    assert mapped.meta["batches"] == ["b0", "b1", "new0", "new1"]
    assert mapped.meta["tool"] == state.meta["tool"]
    before, after = restored(state), restored(mapped)
    exact = {} if before.sees_batch else {"rtol": 0, "atol": 0}  # wider matrices are summed in another order
    for there in (inputs, query.rows(query.batch.values == 1)):
        np.testing.assert_allclose(embed(after, there), embed(before, there), **({"atol": 1e-6} | exact))
    assert np.isfinite(embed(after, query)).all()
    for key, old in state.tensors.items():
        new = mapped.tensors[key][tuple(slice(n) for n in old.shape)]
        norm = ".1." in key and ("decoder" in key or "classifier" in key)
        assert torch.equal(old, new) or norm or key.endswith("num_batches_tracked"), key
    again, none = map_query(mapped, query, {}, RUN)
    assert again is mapped
    assert none == []


def test_mapping_is_theirs(trained, theirs):
    inputs, _, _ = trained("scvi")
    config = {"encode_covariates": True}
    state, _ = fit(TOOLS["scvi"], inputs, config, RUN)
    model, _ = theirs("scvi", inputs, **config)
    query = elsewhere(TOOLS["scvi"])
    query = query.rows(query.batch.values != 1)
    obs = pd.DataFrame({"sample": pd.Categorical.from_codes(query.batch.values, query.batch.names)}).astype(str)
    data = ad.AnnData(query.values["rna"], obs, pd.DataFrame(index=query.features["rna"]))
    import scvi

    scvi.settings.seed = RUN.seed
    added = type(model).load_query_data(data, model, accelerator="cpu")
    added.train(max_epochs=2, accelerator="cpu", plan_kwargs={"weight_decay": 0.0}, enable_progress_bar=False)
    expected = added.get_latent_representation(data, batch_size=128)
    mapped, _ = map_query(state, query, {}, RUN)
    np.testing.assert_array_equal(embed(restored(mapped), query, batch_size=128), expected)


def test_sysvi_takes_in_no_batches(trained):
    _, state, _ = trained("sysvi")
    with pytest.raises(ssl.InputError, match="cannot take in batches"):
        map_query(state, elsewhere(TOOLS["sysvi"]), {}, RUN)


# Decoders


def test_decoded_genes_are_those_of_scvi_tools(trained, theirs):
    for name in ("peakvi", "multivi"):
        inputs, state, _ = trained(name)
        model, data = theirs(name, inputs)
        fitted = restored(state)
        found = decode(fitted, embed(fitted, inputs, batch_size=128), into=["b1"], batch_size=128)
        expected = model.get_normalized_accessibility(data, transform_batch="b1", return_numpy=True)
        np.testing.assert_allclose(found["atac"], expected, rtol=1e-5)
        if name == "multivi":
            genes = model.get_normalized_expression(data, transform_batch="b1", return_numpy=True)
            np.testing.assert_allclose(found["rna"], genes, rtol=1e-5)


@pytest.mark.parametrize("name", ["scvi", "scanvi", "totalvi"])
def test_decoded_genes_are_theirs_at_the_mean_of_the_posterior(name, trained, theirs, monkeypatch):
    inputs, state, _ = trained(name)
    model, data = theirs(name, inputs)
    drawn = model.module.inference
    monkeypatch.setattr(model.module, "inference", lambda **kw: (found := drawn(**kw)) | {"z": found["qz"].loc})
    expected = model.get_normalized_expression(data, transform_batch=["b0", "b1"])
    genes = expected[0] if name == "totalvi" else expected
    found = decode(restored(state), embed(restored(state), inputs))
    np.testing.assert_allclose(found["rna"], genes, rtol=1e-5)
    np.testing.assert_allclose(found["rna"].sum(axis=1), 1, rtol=1e-5)


def test_sysvi_decodes_log_normalised_values():
    tool = TOOLS["sysvi"]
    inputs = cells(tool)
    state, _ = fit(tool, inputs, {}, Run(max_epochs=30, accelerator="cpu", progress=False))
    fitted = restored(state)
    found = decode(fitted, embed(fitted, inputs))["rna"]
    assert np.corrcoef(found.ravel(), inputs.values["rna"].toarray().ravel())[0, 1] > 0.5


def test_proteins_are_the_expectation_over_their_background(trained):
    inputs, state, _ = trained("totalvi")
    fitted = restored(state)
    z = embed(fitted, inputs)[:3]
    found = decode(fitted, z, into=["b0"])["protein"]
    many = torch.from_numpy(np.repeat(z, 5_000, axis=0))
    zero = torch.zeros(len(many), 1, dtype=torch.long)
    with quietly(0), torch.inference_mode():
        py = fitted.module.generative(z=many, library_gene=torch.ones(len(many), 1), batch_index=zero, label=zero)[
            "py_"
        ]
        drawn = (py["rate_fore"] * torch.sigmoid(-py["mixing"])).reshape(3, 5_000, -1)
    error = drawn.std(dim=1) / np.sqrt(5_000)
    assert (np.abs(found - drawn.mean(dim=1).numpy()) / error.numpy()).max() < 6


def test_a_modality_that_was_not_measured_is_imputed(trained):
    for name, missing in (("totalvi", "protein"), ("multivi", "atac")):
        inputs, state, _ = trained(name)
        fitted = restored(state)
        alone = Inputs({"rna": inputs.values["rna"]}, {"rna": inputs.features["rna"]}, inputs.batch)
        found = decode(fitted, embed(fitted, alone))
        assert found[missing].shape == (N, SIZES[missing])
        assert np.isfinite(found[missing]).all()


def test_labels_are_those_of_scanvi(trained, theirs):
    inputs, state, _ = trained("scanvi")
    assert state.meta["labels"] == ["T", "B", "NK"]
    model, data = theirs("scanvi", inputs)
    expected = model.predict(data, soft=True, batch_size=128)
    found = classify(restored(state), inputs, batch_size=128)
    assert NO_LABEL not in expected.columns
    np.testing.assert_array_equal(found, expected[state.meta["labels"]].to_numpy())


def test_labels_of_no_cell_are_left_out():
    inputs = cells(TOOLS["scanvi"])
    more = Inputs(
        inputs.values,
        inputs.features,
        inputs.batch,
        Codes(np.where(inputs.label.values == 2, 3, inputs.label.values), ("T", "B", "none", "NK")),
    )
    state, _ = fit(TOOLS["scanvi"], more, {}, RUN)
    assert state.meta["labels"] == ["T", "B", "NK"]
    assert classify(restored(state), inputs).shape == (N, 3)


@pytest.mark.parametrize("bad", [{"latent_distribution": "ln"}, {"modality_weights": "cell"}])
def test_settings_without_an_embedding_are_refused(bad):
    with pytest.raises(ssl.InputError, match="cannot be used"):
        fit(TOOLS["multivi"], cells(TOOLS["multivi"]), bad, RUN)


@pytest.mark.parametrize("preset", ["paper", "tuned"])
def test_presets_train(preset):
    tool = TOOLS["scvi"]
    state, _ = fit(tool, cells(tool), tool.presets[preset], RUN)
    assert embed(restored(state), cells(tool)).shape == (N, 30)


def test_latent_library_sizes_survive():
    tool = TOOLS["scvi"]
    state, _ = fit(tool, cells(tool), {"use_observed_lib_size": False}, RUN)
    assert torch.isfinite(state.tensors["library_log_means"]).all()
    assert torch.equal(restored(state).module.state_dict()["library_log_means"], state.tensors["library_log_means"])


def test_without_batches():
    tool = TOOLS["scvi"]
    inputs = cells(tool)
    alone = Inputs(inputs.values, inputs.features)
    state, _ = fit(tool, alone, {}, RUN)
    assert state.meta["batches"] == []
    assert embed(restored(state), inputs).shape == (N, 10)


@pytest.mark.parametrize(("name", "parameter"), [("sysvi", "batch_key"), ("scanvi", "label_key")])
def test_a_column_that_is_needed_and_missing(name, parameter):
    inputs = cells(TOOLS[name])
    with pytest.raises(ssl.InputError, match="cannot be trained without") as caught:
        fit(TOOLS[name], Inputs(inputs.values, inputs.features), {}, RUN)
    assert caught.value.parameter == parameter


def test_proteins_that_one_batch_lacks(theirs):
    tool = TOOLS["totalvi"]
    inputs = cells(tool)
    inputs.values["protein"][inputs.batch.values == 1] = 0
    with pytest.warns(ScsslWarning, match="12 of 12 proteins are zero in every cell of batch 'b1'"):
        state, _ = fit(tool, inputs, {}, RUN)
    model, data = theirs("totalvi", inputs)
    expected = model.get_latent_representation(data, batch_size=128)
    np.testing.assert_array_equal(embed(restored(state), inputs, batch_size=128), expected)


# Folders that scvi-tools wrote


@pytest.mark.parametrize("name", HERE)
def test_their_folders_are_read_with_trust(name, trained, theirs, tmp_path):
    inputs, state, _ = trained(name)
    model, data = theirs(name, inputs)
    model.save(tmp_path / "theirs")
    with pytest.raises(ssl.CheckpointError, match="pickle") as caught:
        read_saved(tmp_path / "theirs")
    assert caught.value.code == "untrusted"
    read = read_saved(tmp_path / "theirs", trust=True)
    json.dumps(read.meta)
    assert read.meta["features"] == state.meta["features"]
    assert read.meta["batches"] == state.meta["batches"]
    assert read.meta["labels"] == state.meta["labels"]
    np.testing.assert_array_equal(
        embed(restored(read), inputs, batch_size=128), model.get_latent_representation(data, batch_size=128)
    )


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(ssl.CheckpointError, match="does not exist"):
        read_saved(tmp_path, trust=True)


def test_a_model_with_covariates_is_not_read(trained, theirs, tmp_path):
    import scvi

    inputs, _, _ = trained("scvi")
    obs = pd.DataFrame({"depth": np.arange(float(N))}, index=[str(i) for i in range(N)])
    data = ad.AnnData(inputs.values["rna"], obs)
    scvi.model.SCVI.setup_anndata(data, continuous_covariate_keys=["depth"])
    scvi.model.SCVI(data).save(tmp_path / "theirs")
    with pytest.raises(ssl.CheckpointError, match="continuous_covariate_keys"):
        read_saved(tmp_path / "theirs", trust=True)


def test_a_model_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.setattr("scssl.methods.scvi_tools.tool.installed_version", lambda: (1, 4))
    tool = TOOLS["joint_embedding_scvi"]
    assert not tool.installed
    with pytest.raises(ssl.InputError, match=r">= 1\.5"):
        tool.load()
