"""What writes into the user's object: nothing that scssl did not write is replaced unasked, and nothing changes its type."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scssl as ssl


@pytest.fixture(scope="module")
def made():
    mdata = ssl.datasets.synthetic(160, {"rna": 40, "prot": 8}, n_types=3, n_batches=2, modalities=("rna", "prot"))
    ssl.pp.recipe(mdata, n_top_genes=None)
    return mdata


@pytest.fixture(scope="module")
def model(made):
    return ssl.tl.fit(made.mod["rna"].copy(), "pca", width=6)


@pytest.fixture
def pair(made, model):
    rna = made.mod["rna"].copy()
    ssl.tl.embed(rna, model)
    return rna[:110].copy(), rna[110:].copy()


def annotate(query, reference, **options):
    options = {"use_rep": "X_pca", "label_key": "cell_type", **options}
    ssl.tl.annotate(query, reference=reference, **options)


def refused(call, code, says=""):
    with pytest.raises(ssl.InputError) as caught:
        call()
    assert caught.value.code == code
    assert says in str(caught.value)


# what is the user's


@pytest.mark.parametrize("column", ["pca_label", "pca_confidence"])
def test_columns_of_the_user_are_kept(pair, unchanged, column):
    reference, query = pair
    query.obs[column] = "by hand"
    with unchanged(query):
        refused(
            lambda: annotate(query, reference), "key_exists", f"obs[{column!r}] exists and was not written by scssl"
        )
    annotate(query, reference, overwrite=True)
    assert "by hand" not in set(query.obs["pca_label"].astype(str))
    annotate(query, reference, k=3)  # ours now


def test_labels_corrected_by_hand_are_the_users(pair, tmp_path):
    reference, query = pair
    annotate(query, reference)
    query.write_h5ad(tmp_path / "q.h5ad")
    query = ad.read_h5ad(tmp_path / "q.h5ad")
    annotate(query[::-1].copy(), reference)  # read back, in another order: still ours
    some = query[:20].copy()
    annotate(some, reference)  # some of the cells: what is left of our result
    query.obs["pca_label"] = query.obs["pca_label"].cat.rename_categories({"type1": "corrected"})
    refused(lambda: annotate(query, reference), "key_exists", "was changed since scssl wrote it")
    annotate(query, reference, key_added="again")


def test_embeddings_layers_and_imputed_values_of_the_user_are_kept(made, model, pair, unchanged):
    rna, mdata, reference = pair[0], made.copy(), made[:60].copy()
    rna.obsm["X_mine"] = rna.obsm["X_yours"] = np.zeros((rna.n_obs, 2))
    rna.layers["pca_reconstructed"] = rna.X.copy()
    mdata.obsm["pca_prot"] = np.zeros((mdata.n_obs, 2))
    calls = {
        "embed": (rna, lambda **how: ssl.tl.embed(rna, model, key_added="mine", **how)),
        "fit": (rna, lambda **how: ssl.tl.fit(rna, "pca", key_added="yours", width=3, **how)),
        "reconstruct": (rna, lambda **how: ssl.tl.reconstruct(rna, model, **how)),
        "impute": (mdata, lambda **how: ssl.tl.impute(mdata, model, modality="prot", reference=reference, **how)),
    }
    for data, call in calls.values():
        with unchanged(data):
            refused(call, "key_exists", "pass overwrite=True")
            refused(lambda call=call: call(overwrite="no"), "wrong_type", "neither True nor False")
        call(overwrite=True)
        call()  # ours may be replaced by ours
    assert mdata.obsm["pca_prot"].shape == (160, 8)


def test_an_own_choice_of_genes_is_kept(unchanged):
    adata = ssl.datasets.synthetic(60, 50, n_types=2)
    adata.var["highly_variable"] = np.arange(50) < 7
    with unchanged(adata):
        refused(lambda: ssl.pp.recipe(adata), "genes_chosen", "the choice of 7 genes")
    ssl.pp.recipe(adata, overwrite=True, n_top_genes=20)
    ssl.pp.recipe(adata, layer="counts", n_top_genes=30)  # our own choice is replaced
    assert adata.var["highly_variable"].sum() == 30
    adata.var["highly_variable"] = np.arange(50) < 7
    refused(lambda: ssl.pp.recipe(adata, layer="counts"), "genes_chosen", "was changed since scssl wrote it")


# two models


def test_embeddings_of_two_models_are_not_compared(made, model, pair, unchanged):
    reference, query = pair
    other = ssl.tl.fit(query, "pca", width=6)
    assert other.identity != model.identity
    with unchanged(query):
        refused(lambda: annotate(query, reference), "other_model", "was made by two models")
    missing = made[110:].copy()
    missing.obsm["X_pca"], missing.uns = query.obsm["X_pca"], {**missing.uns, "scssl": query.uns["scssl"]}
    known = made[:110].copy()
    known.obsm["X_pca"], known.uns = reference.obsm["X_pca"], {**known.uns, "scssl": reference.uns["scssl"]}
    refused(lambda: ssl.tl.impute(missing, known, modality="prot", use_rep="X_pca"), "other_model")


def test_one_model_is_known_again_wherever_it_comes_from(pair, tmp_path):
    reference, query = pair
    model = ssl.tl.fit(reference, "simclr", max_epochs=1, batch_size=32)
    model.save(tmp_path / "model")
    again = ssl.load(tmp_path / "model")
    assert again.identity == model.identity
    ssl.tl.embed(query, again)
    annotate(query, reference, use_rep="simclr")
    # a head does not change the embedding; training all layers does
    head = ssl.tl.finetune(reference.copy(), model, label_key="cell_type", max_epochs=1)
    deep = ssl.tl.finetune(reference.copy(), model, label_key="cell_type", train="all", max_epochs=1)
    assert head.identity == model.identity != deep.identity


def test_what_nobody_knows_is_said(pair):
    reference, query = pair
    for data in pair:
        data.obsm["X_elsewhere"] = data.obsm["X_pca"]
    with pytest.warns(ssl.ScsslWarning, match="Nothing in the query and reference says which model") as caught:
        annotate(query, reference, use_rep="X_elsewhere")
    assert len(caught) == 1
    del query.uns["scssl"]
    with pytest.warns(ssl.ScsslWarning, match="Nothing in the query says which model made use_rep='X_pca'"):
        annotate(query, reference)


# types


@pytest.mark.parametrize("labels", [[0, 1, 2], [True, False, True], ["a", "b", "c"], [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("classifier", ["knn", "linear"])
def test_labels_keep_their_type(pair, tmp_path, labels, classifier):
    reference, query = pair
    for data in pair:
        data.obs["mark"] = np.array(labels)[data.obs["cell_type"].cat.codes]
    annotate(query, reference, label_key="mark", classifier=classifier)
    found = query.obs["pca_label"]
    assert type(found.cat.categories[0]) is type(reference.obs["mark"].iloc[0])
    assert (found == query.obs["mark"]).mean() > 0.6
    query.write_h5ad(tmp_path / "q.h5ad")
    assert (ad.read_h5ad(tmp_path / "q.h5ad").obs["pca_label"] == query.obs["mark"]).mean() > 0.6


def test_categories_keep_their_order(pair):
    reference, query = pair
    dtype = pd.CategoricalDtype(["type3", "type1", "type2"], ordered=True)
    reference.obs["cell_type"] = reference.obs["cell_type"].astype(dtype)
    annotate(query, reference)
    assert query.obs["pca_label"].dtype == dtype


@pytest.mark.parametrize("labels", [[0, 1, 2], [True, False, True]])
def test_a_head_gives_labels_of_the_type_that_it_learnt(pair, tmp_path, labels):
    reference, query = pair
    for data in pair:
        data.obs["mark"] = np.array(labels)[data.obs["cell_type"].cat.codes]
    model = ssl.tl.fit(reference, "simclr", max_epochs=2, batch_size=32)
    ssl.tl.finetune(reference, model, label_key="mark", max_epochs=30).save(tmp_path / "m")
    annotate(query, None, classifier="head", model=tmp_path / "m", use_rep=None, label_key=None)
    assert query.obs["simclr_label"].cat.categories.dtype == np.asarray(labels).dtype
    assert (query.obs["simclr_label"] == query.obs["mark"]).mean() > 0.5


def test_labels_too_rare_for_half_of_the_votes_are_said():
    x = np.array([[0.0], [0.1], [10.0], [-10.0], [20.0], [-20.0]])
    reference, query = ad.AnnData(np.zeros((6, 1))), ad.AnnData(np.zeros((1, 1)))
    reference.obs_names = list("abcdef")
    reference.obs["t"] = ["rare", "rare", "u", "v", "w", "x"]
    reference.obsm["X_e"], query.obsm["X_e"] = x, np.array([[0.05]])
    for data in (reference, query):
        data.uns["scssl"] = {"embeddings": {"e": {"model_id": "1"}}}
    with pytest.warns(ssl.ScsslWarning, match=r"1 of 1 cells got a label that has fewer than 3 cells .* 'rare \(2\)'"):
        annotate(query, reference, use_rep="e", label_key="t", k=6)
    assert query.obs["e_label"].tolist() == ["rare"]


# values that are not what they are called


def test_a_reference_of_another_modality_is_refused(made, model, pair, unchanged):
    reference, query = pair
    with unchanged(query):
        refused(
            lambda: ssl.tl.impute(query, reference, modality="prot", use_rep="X_pca"),
            "other_modality",
            "40 of 40 features of the reference are among the 40 of the query",
        )
        refused(lambda: ssl.tl.impute(query, model, modality="prot", reference=reference), "needs_mudata")
    few = reference[:, :5].copy()
    with pytest.warns(ssl.ScsslWarning, match="nothing tells that they are 'prot'"):
        ssl.tl.impute(query, few, modality="prot", use_rep="X_pca")
    prot = made.mod["prot"][:110].copy()
    prot.obsm["X_pca"], prot.uns["scssl"] = reference.obsm["X_pca"], reference.uns["scssl"]
    ssl.tl.impute(query, prot, modality="prot", use_rep="X_pca")  # features that the query has not: taken at their word


def test_imputed_values_are_a_frame_with_their_scale(made, model, tmp_path):
    made = made.copy()
    reference, query = made[:100].copy(), made.mod["rna"][100:].copy()
    names = ["CD3/TCR", *reference.mod["prot"].var_names[1:]]
    reference.mod["prot"].var_names = names
    with pytest.warns(ssl.ScsslWarning, match="1 names of features hold '/'"):
        ssl.tl.impute(query, model, modality="prot", reference=reference)
    assert list(query.obsm["pca_prot"].columns) == ["CD3_TCR", *names[1:]]
    query.write_h5ad(tmp_path / "q.h5ad")
    query.write_zarr(tmp_path / "q.zarr")
    read = ad.read_h5ad(tmp_path / "q.h5ad")
    assert read.obsm["pca_prot"].equals(query.obsm["pca_prot"])
    record = read.uns["scssl"]["imputed"]["pca_prot"]
    assert list(record["features"]) == names
    assert record["scale"] == "X of the reference: centred log ratio"
    reference = made[:100].copy()
    for data in (query, reference):
        data.obsm["X_e"] = np.ones((data.n_obs, 2))
        data.uns = {**data.uns, "scssl": {"embeddings": {"e": {"model_id": "1"}}}}
    ssl.tl.impute(query, reference, modality="prot", use_rep="e", layer="counts")
    assert query.uns["scssl"]["imputed"]["e_prot"]["scale"] == "layers['counts'] of the reference: counts"


def test_a_layer_that_only_the_query_has_is_no_layer_of_the_reference(made, model, pair):
    reference, query = made[:100].copy(), pair[1]
    for part in (query, reference.mod["rna"]):
        part.layers["other"] = part.X.copy()
    refused(
        lambda: ssl.tl.impute(query, model, modality="prot", reference=reference, layer="other"),
        "unknown_layer",
        "'prot' of the reference has no values in layers['other']",
    )
