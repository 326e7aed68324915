"""Mixing with neighbours: the partner is one, from where it should be; graphs are made of the cells at hand."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import scssl as ssl
from scssl import views
from scssl._errors import InputError, KeyNotFoundError
from scssl.data import partners
from scssl.data.cells import Cells
from scssl.models.fit import Request
from scssl.models.fit import fit as fit_model
from scssl.train.batches import Batches
from scssl.views.neighbors import pick

KINDS = {"knn": views.Knn, "bbknn": views.Bbknn, "mnn": views.Mnn}


def simulated(n=240, genes=40, batches=3, *, seed=0, order=None):
    """Types and batches with an effect of the batch; true neighbours are few and scattered over the file."""
    rng = np.random.default_rng(seed)
    types, batch = rng.integers(0, 6, n), rng.integers(0, batches, n)
    x = np.abs(rng.normal(2, 1, (6, genes))[types] + 0.05 * rng.normal(0, 1, (batches, genes))[batch])
    x = (x + np.abs(rng.normal(0, 0.2, (n, genes)))).astype(np.float32)
    obs = pd.DataFrame({"batch": [f"b{b}" for b in batch]}, index=[f"c{i}" for i in range(n)])
    adata = ad.AnnData(sp.csr_matrix(x), obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(genes)]))
    return adata if order is None else adata[order].copy()


def read(adata, batch_key="batch"):
    return Cells.from_data(adata, batch_key=batch_key)


def plain_graph(adata, kind, k):
    """The partners of every cell by loops over all pairs, from the same principal components."""
    x = np.linalg.svd(adata.X.toarray() - adata.X.toarray().mean(0), full_matrices=False)
    x = (x[0] * x[1])[:, :39]
    batch = adata.obs["batch"].to_numpy()
    if kind == "mnn":
        x /= np.linalg.norm(x, axis=1, keepdims=True)

    def closest(i, group):
        others = [j for j in np.flatnonzero(batch == group) if j != i]
        return set(sorted(others, key=lambda j: np.linalg.norm(x[i] - x[j]))[:k])

    names = sorted(set(batch))
    if kind == "knn":
        return [closest(i, batch[i]) for i in range(len(x))]
    if kind == "bbknn":
        return [set.union(*(closest(i, name) for name in names)) for i in range(len(x))]
    near = {(i, name): closest(i, name) for i in range(len(x)) for name in names if name != batch[i]}
    return [
        {j for name in names if name != batch[i] for j in near[i, name] if i in near[j, batch[i]]}
        for i in range(len(x))
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_are_those_of_a_loop_over_all_pairs(kind):
    adata = simulated()
    graph = partners.partners(read(adata), kind, 3)
    found = [set(graph.indices[graph.indptr[i] : graph.indptr[i + 1]].tolist()) for i in range(adata.n_obs)]
    assert found == plain_graph(adata, kind, 3)
    assert graph.has_sorted_indices
    assert (graph.data == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_do_not_depend_on_the_order_of_the_cells(kind):
    order = np.random.default_rng(1).permutation(240)
    plain = partners.partners(read(simulated()), kind, 3)
    shuffled = partners.partners(read(simulated(order=order)), kind, 3)
    assert (plain[order][:, order] != shuffled).nnz == 0


@pytest.mark.parametrize("kind", KINDS)
def test_partners_come_from_the_right_batches(kind):
    cells = read(simulated())
    graph = partners.partners(cells, kind, 4)
    rows, columns = graph.nonzero()
    assert (rows != columns).all()
    same = cells.batch[rows] == cells.batch[columns]
    if kind == "bbknn":  # four of each
        counts = np.zeros((cells.n_obs, 3), dtype=int)
        np.add.at(counts, (rows, cells.batch[columns]), 1)
        assert (counts == 4).all()
    else:
        assert same.all() == (kind == "knn")
        assert same.any() == (kind == "knn")
    if kind == "mnn":
        assert (graph != graph.T).nnz == 0  # mutual


@pytest.mark.parametrize("kind", ["knn", "bbknn"])
def test_the_last_cells_of_a_file_have_partners_like_the_first(kind):
    degrees = np.diff(partners.partners(read(simulated()), kind, 3).indptr)
    assert (degrees == degrees[0]).all()


def test_a_partner_is_one_of_the_neighbours_and_each_is_as_likely(ring, generator):
    index = np.random.default_rng(0).permutation(400)[:100]
    drawn = np.stack([pick(ring, index, generator(seed)) for seed in range(600)])
    step = (drawn - index) % 400
    assert set(np.unique(step)) == {1, 2, 3}
    rate = np.stack([(step == s).mean(0) for s in (1, 2, 3)])
    assert np.abs(rate - 1 / 3).max() < 5 * (2 / 9 / 600) ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_views_mix_with_true_neighbours(kind, generator):
    """With alpha=0 a view is the partner itself: every value shows whose it is."""
    adata = simulated()
    cells = read(adata)
    view = KINDS[kind](alpha=0.0, k=3, p=1.0)
    view.prepare(cells)
    index = np.random.default_rng(0).permutation(240)[:120]
    x = Batches(cells).values("rna", index)
    context = views.Context(index, lambda i: Batches(cells).values("rna", i), 240, known=cells.known)
    changed = view(x, context, generator())
    everything = Batches(cells).values("rna", np.arange(240))
    whose = torch.cdist(changed.double(), everything.double()).argmin(1).numpy()
    assert torch.equal(changed, everything[whose])
    allowed = plain_graph(adata, kind, 3)
    for cell, partner in zip(index, whose, strict=True):
        assert partner in allowed[cell] or (not allowed[cell] and partner == cell)
    assert index.max() > 200
    assert (whose > 200).any()


def test_cells_without_partner_stay(values, ring, generator):
    lonely = sp.csr_matrix(sp.diags(np.arange(400.0) % 2) @ ring)
    lonely.eliminate_zeros()
    context = views.Context(np.arange(400), lambda i: values[i], 400, known={"mnn:3": lonely})
    changed = (views.Mnn(p=1.0)(values, context, generator()) != values).any(1)
    assert changed[1::2].all()
    assert not changed[::2].any()
    nobody = views.Context(np.arange(400), lambda i: values[i], 400, known={"mnn:3": sp.csr_matrix((400, 400))})
    assert torch.equal(views.Mnn(p=1.0)(values, nobody, generator()), values)


@pytest.mark.parametrize("how", ["int", "geo"])
def test_mixtures_are_the_formulas(how, values, context, generator):
    changed = views.Knn(alpha=0.7, how=how, p=1.0)(values, context, generator())
    fits = torch.zeros(400, dtype=torch.bool)
    for step in (1, 2, 3):
        other = values.roll(-step, 0)
        mixed = 0.7 * values + 0.3 * other if how == "int" else values**0.7 * other**0.3
        fits |= torch.isclose(changed, mixed, rtol=1e-4).all(1)
    assert fits.all()


def test_exchange_keeps_each_gene_with_the_probability(values, context, generator):
    changed = views.Knn(alpha=0.7, how="exc", p=1.0)(values, context, generator())
    kept = changed == values
    for i in range(400):
        others = [(changed[i] == values[(i + step) % 400])[~kept[i]].all() for step in (1, 2, 3)]
        assert sum(others) == 1  # all exchanged genes are of one partner
    assert abs(float(kept.float().mean()) - 0.7) < 3 * (0.21 / kept.numel()) ** 0.5
    per_cell = kept.float().mean(1)
    assert float(per_cell.std()) == pytest.approx(
        (0.21 / 500) ** 0.5, rel=0.15
    )  # drawn for each gene, not for the cell


def test_drawn_shares_are_even_between_alpha_and_one(generator):
    zeros, ones = torch.zeros(4000, 2), torch.ones(4000, 2)
    share = views.Knn(alpha=0.4, drawn=True).mix(ones.clone(), zeros, generator())
    assert torch.equal(share[:, 0], share[:, 1])
    assert 0.4 <= float(share.min()) < 0.41
    assert 0.99 < float(share.max()) <= 1
    assert float(share.mean()) == pytest.approx(0.7, abs=3 * (0.36 / 12 / 4000) ** 0.5)
    kept = views.Knn(alpha=0.4, drawn=True, how="exc").mix(ones.clone(), zeros, generator())
    assert float(kept.mean()) == pytest.approx(0.7, abs=3 * (0.21 / 8000) ** 0.5)


def test_geometric_mixtures_of_negative_values_are_numbers(values, context, generator):
    changed = views.Knn(how="geo", p=1.0)(values - values.median(), context, generator())
    assert torch.isfinite(changed).all()


def test_small_batches_have_fewer_partners():
    adata = simulated(60)
    adata.obs["batch"] = ["lone"] + ["pair"] * 2 + ["rest"] * 57
    cells = read(adata)
    graphs = {kind: partners.partners(cells, kind, 5) for kind in KINDS}
    assert np.diff(graphs["knn"].indptr)[:4].tolist() == [0, 1, 1, 5]
    assert np.diff(graphs["bbknn"].indptr)[:4].tolist() == [7, 7, 7, 8]
    assert graphs["mnn"].nnz > 0


@pytest.mark.parametrize("kind", ["bbknn", "mnn"])
def test_views_across_batches_need_batches(kind, unchanged):
    adata = simulated()
    with unchanged(adata), pytest.raises(InputError, match="no batch_key was given") as caught:
        ssl.tl.fit(adata, views=[kind], max_epochs=1)
    assert caught.value.parameter == "batch_key"
    adata.obs["one"] = "a"
    with pytest.raises(InputError, match="one batch, 'a'"), pytest.warns(UserWarning, match="single value"):
        ssl.tl.fit(adata, views=[kind], batch_key="one", max_epochs=1)
    with pytest.raises(InputError, match="no batch_key was given"):
        ssl.pp.partners(adata, kind)


def test_neighbours_of_all_cells_without_batches():
    adata = simulated()
    graph = partners.partners(read(adata, None), "knn", 3)
    rows, columns = graph.nonzero()
    batch = adata.obs["batch"].to_numpy()
    assert (batch[rows] != batch[columns]).any()
    ssl.tl.fit(adata, views=["knn"], max_epochs=1)


def test_a_view_without_its_graph_says_so(values, generator):
    context = views.Context(np.arange(400), lambda i: values[i], 400)
    with pytest.raises(InputError, match=r"prepare\(\) was not called"):
        views.Mnn(p=1.0)(values, context, generator())


@pytest.fixture
def counted(monkeypatch):
    """Every graph that is computed."""
    made = []
    plain = partners.partners
    monkeypatch.setattr(partners, "partners", lambda *a: made.append(a) or plain(*a))
    return made


def test_fit_uses_a_stored_graph_and_writes_none(counted):
    adata = simulated()
    request = Request("simclr", {"views": ["mnn:0.5"], "max_epochs": 1}, batch_key="batch", accelerator="cpu")
    own = fit_model(adata, request).embed(adata)
    assert len(counted) == 1
    assert not adata.obsp
    ssl.pp.partners(adata, "mnn", batch_key="batch")
    assert len(counted) == 2
    stored = fit_model(adata, request).embed(adata)
    assert len(counted) == 2
    assert np.array_equal(own, stored)


def _drop_cells(adata):
    return adata[:200].copy()


def _shuffle(adata):
    return adata[::-1].copy()


def _value(adata):
    adata.X[3, 5] += 1
    return adata


def _batches(adata):
    adata.obs["batch"] = adata.obs["batch"].to_numpy()[::-1]
    return adata


def _genes(adata):
    adata.var["highly_variable"] = np.arange(adata.n_vars) < 30
    return adata


def _names(adata):
    adata.obs_names = [f"d{i}" for i in range(adata.n_obs)]
    return adata


def _graph(adata):
    adata.obsp["mnn_partners"] = sp.csr_matrix(adata.obsp["mnn_partners"] * 0 + sp.eye(adata.n_obs))
    return adata


def _gone(adata):
    del adata.obsp["mnn_partners"]
    return adata


@pytest.mark.parametrize("change", [_drop_cells, _shuffle, _value, _batches, _genes, _names, _graph, _gone])
def test_a_stale_graph_is_never_used(change, counted):
    adata = simulated()
    ssl.pp.partners(adata, "mnn", batch_key="batch")
    counted.clear()
    adata = change(adata)
    cells = read(adata)
    view = views.Mnn()
    view.prepare(cells)
    assert len(counted) == 1
    assert cells.known[view.key].shape == (adata.n_obs, adata.n_obs)


@pytest.mark.parametrize("view", [views.Mnn(k=4), views.Bbknn()])
def test_a_graph_of_another_kind_is_not_used(view, counted):
    adata = simulated()
    ssl.pp.partners(adata, "mnn", batch_key="batch")
    counted.clear()
    view.prepare(read(adata))
    assert len(counted) == 1


def test_partners_are_written_and_survive_a_file(tmp_path, counted):
    adata = simulated()
    ssl.pp.partners(adata, "bbknn", k=2, batch_key="batch", key_added="mine")
    record = adata.uns["scssl"]["partners"]["mine"]
    assert (record["kind"], record["k"], record["share_with_partner"]) == ("bbknn", 2, 1.0)
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    counted.clear()
    views.Bbknn(k=2).prepare(read(again))
    assert counted == []
    ssl.pp.partners(again, "knn", key_added="mine")  # our own slot may be replaced
    assert again.uns["scssl"]["partners"]["mine"]["kind"] == "knn"


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"kind": "knnn"}, KeyNotFoundError, ["'knnn'", "Did you mean 'knn'"]),
        ({"k": 0}, InputError, ["k=0"]),
        ({"k": 1.5}, InputError, ["k=1.5"]),
        ({"batch_key": "bacth"}, KeyNotFoundError, ["'bacth'", "batch"]),
        ({"key_added": "theirs"}, InputError, ["obsp['theirs_partners']", "not written by scssl"]),
        ({"key_added": 3}, InputError, ["key_added=3"]),
    ],
)
def test_wrong_arguments_are_explained(arguments, kind, words, unchanged):
    adata = simulated(60)
    adata.obsp["theirs_partners"] = sp.eye(60, format="csr")
    with unchanged(adata), pytest.raises(kind) as caught:
        ssl.pp.partners(adata, **{"batch_key": "batch", **arguments})
    assert all(word in str(caught.value) for word in words)


def test_modalities_share_the_graph(mudata):
    ssl.pp.recipe(mudata)
    cells = Cells.from_data(mudata, batch_key="batch")
    view = views.Mnn(alpha=0.0, p=1.0)
    view.prepare(cells)
    assert [key for key in cells.known if ":" in key] == ["mnn:3"]
    index = np.arange(mudata.n_obs)
    batch = views.pipeline.augment(
        Batches(cells).take(index), [view], Batches(cells), index, seed=0, counters=(0, 0, 0)
    )
    graph = cells.known["mnn:3"]
    for name, x in batch.x.items():
        plain = Batches(cells).values(name, index)
        for i in index:
            partners_of = graph.indices[graph.indptr[i] : graph.indptr[i + 1]]
            assert any(torch.equal(x[i], plain[j]) for j in ([i] if len(partners_of) == 0 else partners_of))
    ssl.pp.partners(mudata, "mnn", batch_key="batch")
    assert (mudata.obsp["mnn_partners"] != graph).nnz == 0


def test_partners_are_measured_in_the_modality_that_is_mixed(mudata):
    ssl.pp.recipe(mudata)
    lacking = mudata.copy()
    lacking.mod["prot"] = lacking["prot"][::2].copy()
    lacking.update()
    cells, whole = Cells.from_data(lacking, batch_key="batch"), Cells.from_data(mudata, batch_key="batch")
    assert list(cells.present) == ["prot"]
    view = views.Bbknn(alpha=0.0, p=1.0)
    view.prepare(cells)
    rna = partners.partners(Cells.from_data(mudata, batch_key="batch", modalities=["rna"]), "bbknn", 3)
    assert (cells.known["bbknn:3"] != rna).nnz == 0  # of the complete modality
    order = mudata.obs_names.get_indexer(lacking.obs_names)
    assert (order == np.arange(120)).all()
    index, there = np.arange(120), cells.present["prot"]
    batch = views.pipeline.augment(
        Batches(cells).take(index), [view], Batches(cells), index, seed=0, counters=(0, 0, 0)
    )
    plain = Batches(whole).values("prot", index)
    for i in index[there]:
        known = [j for j in rna.indices[rna.indptr[i] : rna.indptr[i + 1]] if there[j]]
        assert any(torch.equal(batch.x["prot"][i], plain[j]) for j in known or [i])
    views.Thin().prepare(cells)
    assert (cells.known["counts/prot"] > 0).sum() == there.sum()
