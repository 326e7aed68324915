"""MOFA through muon: the factors of a direct call, for new cells too; silent, and nothing of the user's changed."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tempfile
import warnings
from contextlib import redirect_stdout

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scssl as ssl
from scssl._random import generator
from scssl.data.calm import calm
from scssl.models.answers import decoded
from scssl.models.fit import Request, fit

pytest.importorskip("mofapy2")
pytest.importorskip("muon")

pytestmark = pytest.mark.filterwarnings("ignore:.* cells are not measured in modality")
N, SIZES = 300, {"rna": 80, "prot": 30}
OFF = {"rna": slice(200, 230), "prot": slice(230, 300)}  # cells that lack a modality


def planted(n: int = N, *, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Values of both modalities from three factors, the last of which moves RNA alone, and the factors."""
    weights = {name: generator(7, name).normal(size=(3, size)) * 0.4 for name, size in SIZES.items()}
    weights["prot"][2] = 0
    rng = generator(seed, "cells")
    factors = rng.normal(size=(n, 3))
    means = {name: generator(8, name).uniform(2, 3, size) for name, size in SIZES.items()}
    noise = {name: rng.normal(scale=0.3, size=(n, size)) for name, size in SIZES.items()}
    values = {name: np.maximum(means[name] + factors @ weights[name] + noise[name], 0) for name in SIZES}
    return {name: x.astype(np.float32) for name, x in values.items()}, factors


def cells(n: int = N, *, seed: int = 0, lacking: bool = False, shared_names: bool = False) -> md.MuData:
    parts = {}
    for name, x in planted(n, seed=seed)[0].items():
        part = ad.AnnData(sp.csr_matrix(x))
        part.obs_names = [f"cell{seed}_{i}" for i in range(n)]
        part.var_names = [f"{'g' if shared_names else name}{j}" for j in range(x.shape[1])]
        keep = np.ones(n, dtype=bool)
        keep[OFF[name] if lacking else slice(0)] = False
        parts[name] = part[keep].copy()
    with calm():
        return md.MuData(parts)


def by_muon(data: md.MuData, **options) -> np.ndarray:
    """Factors of a direct call, in the order of the cells of `data`, left as float32 where muon does."""
    import muon

    state = np.random.get_state()  # noqa: NPY002
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        data = data.copy()
        muon.tl.mofa(data, use_var=None, likelihoods="gaussian", use_obs="union", outfile=f"{folder}/m.hdf5", **options)
    np.random.set_state(state)  # noqa: NPY002
    return data.obsm["X_mofa"]


def by_mofapy2(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Means of the factors given one modality, with the second moments of the weights that mofapy2 has in memory."""
    from mofapy2.run.entry_point import entry_point

    state = np.random.get_state()  # noqa: NPY002
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        model = entry_point()
        model.set_data_options()
        model.set_data_matrix([[x] for x in values.values()], likelihoods=["gaussian", "gaussian"])
        model.set_model_options(factors=10, ard_factors=True)
        model.set_train_options(seed=0, quiet=True, convergence_mode="slow")
        model.build()
        model.run()
    np.random.set_state(state)  # noqa: NPY002
    nodes, found = model.model.nodes, {}
    prior = nodes["AlphaZ"].getExpectation(expand=False).ravel()
    for i, (name, x) in enumerate(values.items()):
        weights, precision = nodes["W"].getExpectations()[i], nodes["Tau"].getExpectation()[i][0]
        matrix = (weights["E"].T * precision) @ weights["E"]
        np.fill_diagonal(matrix, precision @ weights["E2"])
        scores = ((x - x.mean(axis=0)) * precision) @ weights["E"]
        found[name] = np.linalg.solve(matrix + np.diag(prior), scores.T).T
    return found


def fitted(data: md.MuData, **options) -> ssl.Model:
    return ssl.tl.fit(data, "mofa", **options)


@pytest.fixture(scope="module")
def model() -> ssl.Model:
    return fitted(cells())


def deviation(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Root mean square difference in standard deviations, of the factors that are not switched off."""
    spread = expected.std(axis=0)
    alive = spread > 1e-3 * spread.max()
    return np.sqrt(((found - expected) ** 2).mean(axis=0))[alive] / spread[alive]


def canonical(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Canonical correlations of two embeddings."""
    bases = []
    for x in (a, b):
        u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        bases.append(u[:, s > 1e-3 * s[0]])
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"scale_views": True}, {"spikeslab_weights": False}, {"convergence_mode": "slow"}]
)
def test_embeds_the_factors_of_a_direct_call(lacking, options):
    data = cells(lacking=lacking)
    fitted(data, **options)
    assert deviation(data.obsm["X_mofa"], by_muon(data, seed=0, **options)).max() < 1e-3


@pytest.mark.parametrize("lacking", [False, True])
def test_finds_planted_factors_and_finds_them_again_in_new_cells(lacking):
    found = fitted(cells(lacking=lacking))
    for seed, floor in ((0, 0.98), (1, 0.98)):
        assert canonical(found.embed(cells(seed=seed)), planted(seed=seed)[1])[:3].min() > floor


@pytest.mark.parametrize(("name", "most"), [("rna", 0.01), ("prot", 0.02)])
def test_one_modality_gives_the_mean_that_the_model_has(name, most):
    """The expected squared weights of one modality are not in the file where all cells have both: this is their share."""
    exact = by_mofapy2(planted()[0])[name]
    found = fitted(cells(), convergence_mode="slow").embed(cells(), modality=name)
    alive = np.flatnonzero(found.std(axis=0) > 0.05)
    assert len(alive) >= 2
    for factor in found[:, alive].T:
        nearest = min(exact.T, key=lambda other: np.square(other - factor).sum())
        assert deviation(factor[:, None], nearest[:, None]).max() < most


def test_cells_that_lack_a_modality_are_those_embedded_from_the_other(model):
    some, data = cells(lacking=True), cells()
    both = pd.DataFrame(model.embed(some), some.obs_names).loc[data.obs_names].to_numpy()
    expected = model.embed(data)
    for name, off in OFF.items():
        other = next(m for m in SIZES if m != name)
        expected[off] = model.embed(data, modality=other)[off]
    np.testing.assert_allclose(both, expected, rtol=1e-5, atol=1e-6)


def test_decodes_what_it_embeds(model):
    values = planted(seed=1)[0]
    for modality in (None, "rna"):
        made = decoded(model, cells(seed=1), modality=modality)
        for name, x in values.items():
            assert made[name].dtype == np.float32
            residual = ((made[name] - x) ** 2).mean()
            assert residual < (0.12 if modality is None or name == "rna" else 0.14), (modality, name)  # noise: 0.09
            assert residual < 0.4 * x.var(axis=0).mean()


def test_order_of_cells_matters_no_more_than_the_tolerance_of_convergence():
    data, order = cells(), generator(0, "order").permutation(N)
    options = {"width": 3, "convergence_mode": "slow"}
    plain, mixed = (fitted(d, **options).embed(data) for d in (data, data[order].copy()))
    assert canonical(plain, mixed).min() > 0.9999


def test_same_seed_same_bits(model):
    np.testing.assert_array_equal(fitted(cells()).embed(cells()), model.embed(cells()))
    assert fitted(cells(), seed=2**40, width=2).n_dims == 2


@pytest.mark.parametrize("lacking", [False, True])
def test_nothing_is_printed_written_or_changed(lacking, unchanged, capfd, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    data = cells(lacking=lacking)
    locked = data.copy()
    for part in locked.mod.values():
        part.X.data.flags.writeable = False
    with unchanged(locked):
        fit(locked, Request("mofa"))
    assert capfd.readouterr() == ("", "")
    assert [p.name for p in tmp_path.rglob("*")] == ["tmp"]


def test_importing_it_first_leaves_the_process_as_it_was():
    code = (
        "import os, random, warnings, numpy as np, scssl as ssl, sys\n"
        "data = ssl.datasets.synthetic(60, 40, modalities=('rna', 'prot'))\n"
        "ssl.pp.recipe(data)\n"
        "import torch, mudata, scanpy, anndata\n"
        "ssl.settings.verbosity = 'error'\n"
        "state = lambda: (random.getstate(), np.random.get_state()[1].tobytes(), dict(os.environ), list(warnings.filters))\n"
        "before = state()\n"
        "ssl.tl.fit(data, 'mofa', width=2)\n"
        "assert state() == before\n"
        "assert 'mofapy2' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr


def test_a_saved_model_embeds_and_decodes_the_same_in_a_new_process(model, tmp_path):
    data = cells(seed=1, lacking=True)
    model.save(tmp_path / "model")
    data.write_h5mu(tmp_path / "cells.h5mu")
    code = (
        "import sys, numpy as np, scssl as ssl\n"
        "found = ssl.load(sys.argv[1] + '/model').embed(sys.argv[1] + '/cells.h5mu')\n"
        "np.save(sys.argv[1] + '/found.npy', found)\n"
        "assert 'muon' not in sys.modules and 'mofapy2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=170)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), model.embed(data))
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["config"]["width"] == 10
    back = decoded(ssl.load(tmp_path / "model"), data)
    for name, values in decoded(model, data).items():
        np.testing.assert_array_equal(back[name], values)


def test_one_modality_is_refused_by_the_description(synthetic):
    ssl.pp.recipe(synthetic)
    with pytest.raises(ssl.InputError, match=r"two modalities or more.*'?rna"):
        fitted(synthetic)
    with pytest.raises(ssl.InputError, match="two modalities or more"):
        fitted(cells(), modalities=["prot"])


@pytest.mark.parametrize("call", [1, 4])
def test_ctrl_c_reaches_the_caller(call, monkeypatch):
    from mofapy2.core.BayesNet import BayesNet

    bound, calls = BayesNet.calculateELBO, []

    def pressed(self, *nodes):
        calls.append(self)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return bound(self, *nodes)

    monkeypatch.setattr(BayesNet, "calculateELBO", pressed)
    with pytest.raises(KeyboardInterrupt):
        fitted(cells(60))


def test_an_error_of_mofapy2_is_not_an_exit(monkeypatch):
    from mofapy2.core.BayesNet import BayesNet

    def broken(self, *nodes):
        raise TypeError("broken")

    monkeypatch.setattr(BayesNet, "calculateELBO", broken)
    with pytest.raises(TypeError, match="broken"):
        fitted(cells(60))


def test_says_when_it_did_not_converge():
    with pytest.warns(ssl.ScsslWarning, match="did not converge in n_iterations=3"):
        fitted(cells(60), n_iterations=3)


@pytest.mark.filterwarnings("ignore:.* are zero in all cells", "ignore:.* features have the same name")
def test_few_cells_constant_features_and_names_in_both_modalities():
    data = cells(8, shared_names=True)
    for part in data.mod.values():
        x = part.X.toarray()
        x[:, 4], x[:, 5] = 0, 1
        part.X = sp.csr_matrix(x)
    found = fitted(data)
    assert found.n_dims == 7
    other = cells(8, seed=1, shared_names=True)
    assert np.isfinite(found.embed(other)).all()
    assert np.abs(found.embed(other)).max() < 100


def test_is_a_line_of_a_benchmark(mudata, synthetic):
    given = {"methods": ["mofa"], "batch_key": "batch", "label_key": "cell_type", "n_jobs": 1}
    ssl.pp.recipe(mudata)
    table = ssl.tl.benchmark(mudata, tasks=["modality_prediction"], target="prot", **given)
    mofa = table[table["method"] == "mofa"]
    assert set(mofa["status"]) == {"ok"}
    ssl.pp.recipe(synthetic)
    table = ssl.tl.benchmark(synthetic, tasks=["batch_correction"], **given)
    assert set(table.loc[table["method"] == "mofa", "status"]) == {"not_applicable"}


def test_real_cells(shared_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mudata, about names that a gene and a protein share
        data = md.read_h5mu(shared_data / "cite_eccite_pbmc500_unlabelled.h5mu")
        data = md.MuData({name: data.mod[name][:300].copy() for name in ("rna", "protein")})
        ssl.pp.recipe(data, n_top_genes=500)
        fitted(data)
        used = md.MuData({name: part[:, part.var["highly_variable"]].copy() for name, part in data.mod.items()})
    assert deviation(data.obsm["X_mofa"], by_muon(used, seed=0)).max() < 1e-2
