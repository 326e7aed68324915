"""Cells, whatever they come from: rows, names and codes; and their rows as tensors."""

from __future__ import annotations

import dataclasses

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scssl as ssl
from scssl._errors import InputError, KeyNotFoundError
from scssl.data.cells import Cells, Codes
from scssl.data.identity import data_id
from scssl.train.batches import Batches

N, G = 37, 23


@pytest.fixture
def dense():
    values = np.random.default_rng(0).poisson(1.0, (N, G)).astype(np.float32)
    values[3] = 0
    return values


def made(matrix) -> ad.AnnData:
    adata = ad.AnnData(matrix)
    adata.obs_names = [f"c{i}" for i in range(N)]
    adata.var_names = [f"g{i}" for i in range(G)]
    adata.obs["batch"] = ["b", "a"] * (N // 2) + ["b"]
    return adata


KINDS = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "csr_array": sp.csr_array,
    "csc_array": sp.csc_array,
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "float64": lambda x: x.astype(np.float64),
    "int": lambda x: x.astype(np.int64),
    "int csr": lambda x: sp.csr_matrix(x.astype(np.int32)),
    "bool-like uint8": lambda x: x.astype(np.uint8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_gives_the_same_rows(kind, dense, unchanged):
    adata = made(KINDS[kind](dense))
    index = np.array([5, 3, 36, 5])
    with unchanged(adata):
        batch = Batches(Cells.from_data(adata, batch_key="batch")).take(index)
    np.testing.assert_array_equal(batch.x["rna"].numpy(), dense[index])
    assert batch.batch.tolist() == [0, 0, 1, 0]


def test_unsorted_and_duplicated_indices_are_summed(dense):
    matrix = sp.csr_matrix(([1.0, 2.0, 4.0], [2, 0, 2], [0, 3] + [3] * (N - 1)), shape=(N, G))
    adata = made(matrix.copy())
    row = Batches(Cells.from_data(adata)).take(np.array([0])).x["rna"].numpy()[0]
    assert row[:3].tolist() == [2.0, 0.0, 5.0]
    assert adata.X.nnz == 3


def test_views_and_read_only(dense):
    adata = made(dense.copy())
    adata.X.flags.writeable = False
    part = adata[10:20, [4, 2]]
    batch = Batches(Cells.from_data(part)).take(np.arange(10))
    np.testing.assert_array_equal(batch.x["rna"].numpy(), dense[10:20][:, [4, 2]])
    assert part.is_view


@pytest.mark.parametrize("as_sparse", [True, False])
def test_backed_files_are_read_by_blocks(dense, tmp_path, monkeypatch, as_sparse):
    from scssl.data import matrix

    monkeypatch.setattr(matrix, "BLOCK", 10)
    made(sp.csr_matrix(dense) if as_sparse else dense).write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    batch = Batches(Cells.from_data(backed)).take(np.arange(N))
    np.testing.assert_array_equal(batch.x["rna"].numpy(), dense)
    backed.file.close()


def test_marked_genes_only(dense):
    adata = made(dense)
    adata.var["highly_variable"] = np.arange(G) % 2 == 0
    cells = Cells.from_data(adata)
    assert cells.sizes == {"rna": 12}
    assert cells.genes["rna"].tolist() == [f"g{i}" for i in range(0, G, 2)]
    assert Cells.from_data(adata, mask_by=None).sizes == {"rna": G}


def test_alignment_by_name_fills_with_zero(dense):
    adata = made(dense)
    wanted = np.array([f"g{i}" for i in range(G - 1, -1, -1)] + ["absent"])
    cells, found = Cells.aligned(adata, {"rna": wanted})
    values = Batches(cells).take(np.arange(N)).x["rna"].numpy()
    np.testing.assert_array_equal(values[:, :-1], dense[:, ::-1])
    assert (values[:, -1] == 0).all()
    assert (found["rna"].n_found, found["rna"].n_model) == (G, G + 1)


def test_rows_are_new_tensors(dense):
    adata = made(sp.csr_matrix(dense))
    cells = Cells.from_data(adata)
    batch = Batches(cells).take(np.arange(N))
    batch.x["rna"][:] = -1
    np.testing.assert_array_equal(Batches(cells).take(np.arange(N)).x["rna"].numpy(), dense)
    np.testing.assert_array_equal(adata.X.toarray(), dense)


def test_modalities_of_mudata(mudata):
    cells = Cells.from_data(mudata, batch_key="batch", modalities=("prot", "rna"))
    assert list(cells.sizes) == ["prot", "rna"]
    index = np.array([4, 0])
    batch = Batches(cells).take(index)
    for name in ("rna", "prot"):
        np.testing.assert_array_equal(batch.x[name].numpy(), mudata.mod[name].X[index].toarray())


def test_cells_of_modalities_are_matched_by_name(mudata):
    order = np.random.default_rng(0).permutation(mudata.n_obs)
    shuffled = mudata.mod["prot"][order].copy()
    expected = Batches(Cells.from_data(mudata)).take(np.arange(5)).x["prot"]
    import mudata as md

    mixed = md.MuData({"rna": mudata.mod["rna"].copy(), "prot": shuffled})
    position = mixed.obs_names.get_indexer(mudata.obs_names[:5])
    got = Batches(Cells.from_data(mixed)).take(position).x["prot"]
    np.testing.assert_array_equal(got.numpy(), expected.numpy())


def test_modalities_that_cannot_be_had(mudata, dense):
    with pytest.raises(KeyNotFoundError, match=r"'porot'.*'rna', 'prot'.*Did you mean 'prot'"):
        Cells.from_data(mudata, modalities=("rna", "porot"))
    with pytest.raises(InputError, match="AnnData, which holds one"):
        Cells.from_data(made(dense), modalities=("rna", "prot"))


def test_identity_is_that_of_the_content(dense, tmp_path):
    adata = made(sp.csr_matrix(dense))
    name = data_id(adata, columns=("batch", None))
    assert data_id(made(dense), columns=("batch",)) == name
    assert data_id(made(sp.csc_matrix(dense.astype(np.float64))), columns=("batch",)) == name
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert data_id(ad.read_h5ad(tmp_path / "x.h5ad"), columns=("batch",)) == name
    changed = dense.copy()
    changed[0, 0] += 1
    others = [
        data_id(made(changed), columns=("batch",)),
        data_id(adata),
        data_id(adata[::-1].copy(), columns=("batch",)),
    ]
    renamed = adata.copy()
    renamed.var_names = [f"h{i}" for i in range(G)]
    assert len({name, *others, data_id(renamed, columns=("batch",))}) == 5
    assert ssl.datasets.pbmc68k().shape == (700, 765)


# cells are frozen; what is chosen of them are new cells


@pytest.fixture
def adata(dense):
    return made(sp.csr_matrix(dense))


def test_cells_are_frozen(adata):
    cells = Cells.from_data(adata, batch_key="batch")
    for name in ("names", "genes", "matrices", "codes", "values"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(cells, name, None)


def test_some_cells_are_those_of_a_part_of_the_object(adata, dense):
    index = np.array([30, 2, 7, 8, 0])
    taken = Cells.from_data(adata, batch_key="batch").take(index)
    part = Cells.from_data(adata[index].copy(), batch_key="batch")
    assert taken.n_obs == 5
    assert taken.names.tolist() == part.names.tolist() == ["c30", "c2", "c7", "c8", "c0"]
    np.testing.assert_array_equal(taken.rows("rna", np.array([4, 1])).toarray(), dense[[0, 2]])
    np.testing.assert_array_equal(taken.cell, part.cell)
    np.testing.assert_array_equal(taken.batch, part.batch)
    assert taken.identity == part.identity
    assert taken.known == {}


def test_some_cells_of_modalities_that_some_lack(mudata):
    import mudata as md

    mixed = md.MuData({"rna": mudata.mod["rna"].copy(), "prot": mudata.mod["prot"][:100:2].copy()})
    cells, index = Cells.from_data(mixed), np.arange(90, 110)
    taken = cells.take(index)
    np.testing.assert_array_equal(taken.present["prot"], cells.present["prot"][index])
    assert list(taken.present) == ["prot"]
    for name in ("rna", "prot"):
        mine, whole = Batches(taken).take(np.arange(20)), Batches(cells).take(index)
        np.testing.assert_array_equal(mine.x[name].numpy(), whole.x[name].numpy())


def test_other_codes_make_other_cells(adata):
    cells = Cells.from_data(adata, batch_key="batch")
    cells.known["a fact"] = 1
    label = Codes(np.where(np.arange(N) < 5, -1, np.arange(N) % 2), ("x", "y"))
    labelled = cells.with_codes(label=label)
    assert Batches(labelled).take(np.array([4, 5, 6])).label.tolist() == [-1, 1, 0]
    assert labelled.batch_names == cells.batch_names == ("a", "b")
    assert (list(cells.codes), list(labelled.codes)) == (["batch"], ["batch", "label"])
    assert (cells.known, labelled.known) == ({"a fact": 1}, {})
    assert Batches(cells).take(np.array([4])).label is None


def test_no_batch_is_known_unless_it_was_asked_for(adata):
    cells = Cells.from_data(adata)
    assert cells.batch is None
    assert cells.batch_names == ()
    assert Batches(cells).take(np.array([0])).batch is None


def test_what_is_hashed_is_all_that_is_read(adata, dense):
    def identity(data, **options):
        return Cells.from_data(data, **{"batch_key": "batch"} | options).identity

    changed = dense.copy()
    changed[5, 5] += 1
    renamed, moved = adata.copy(), adata.copy()
    renamed.obs_names = [f"d{i}" for i in range(N)]
    moved.obs["batch"] = moved.obs["batch"].to_numpy()[::-1]
    moved.obs.loc["c0", "batch"] = "a"
    other = [identity(made(changed)), identity(renamed), identity(moved), identity(adata, batch_key=None)]
    assert len({identity(adata), *other}) == 5
    assert identity(made(dense)) == identity(adata)
    words = adata.copy()
    words.obs["batch"] = words.obs["batch"].astype("category").cat.add_categories("never")
    assert identity(words) == identity(adata)


def test_a_graph_is_made_once_and_anew_for_some_of_the_cells(adata):
    cells = Cells.from_data(adata, batch_key="batch")
    graph = cells.graph("knn", 3)
    assert cells.graph("knn", 3) is graph
    assert cells.graph("knn", 2) is not graph
    assert cells.take(np.arange(20)).graph("knn", 3).shape == (20, 20)


def test_counts_are_those_of_the_layer_that_holds_them(adata, dense):
    def read(data, **options):
        return Cells.from_data(data, values="counts", **options).rows("rna", np.arange(N)).toarray()

    np.testing.assert_array_equal(read(adata), dense)  # there is no layer: X holds them
    adata.layers["counts"] = adata.X.copy()
    adata.layers["other"] = adata.X * 3
    adata.X = adata.X * 0.5
    np.testing.assert_array_equal(read(adata), dense)
    np.testing.assert_array_equal(read(adata, layer="other"), dense * 3)
    np.testing.assert_array_equal(Cells.from_data(adata).rows("rna", np.arange(N)).toarray(), dense / 2)
    found, _ = Cells.aligned(adata, {"rna": np.array(["g3", "g1"])}, values="counts")
    np.testing.assert_array_equal(found.rows("rna", np.arange(N)).toarray(), dense[:, [3, 1]])
