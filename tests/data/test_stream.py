"""Rows on disk: the same as in memory, few at a time, in an order that only the seed decides."""

from __future__ import annotations

import time
import warnings

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scssl as ssl
from scssl.data import stream as streams
from scssl.data.cells import Cells
from scssl.data.identity import data_id
from scssl.data.matrix import csr
from scssl.data.open import opened
from scssl.data.stream import Stream, streamed
from scssl.train.batches import Batches
from scssl.train.sampler import Sampler

N, GENES = 700, 40
KINDS = ["h5ad", "gzip.h5ad", "dense.h5ad", "zarr", "dense.zarr"]
QUICK = {"max_epochs": 2, "batch_size": 64}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=N, n_vars=GENES, n_types=3, n_batches=3, seed=0)
    ssl.pp.recipe(adata)
    adata.var["highly_variable"] = np.arange(GENES) % 4 != 1
    return adata


@pytest.fixture(scope="module")
def files(cells, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("files"), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's about the version of zarr
        for kind in KINDS:
            adata = cells.copy()
            if "dense" in kind:
                adata.X = adata.X.toarray()
            found[kind] = folder / f"{kind.split('.')[0]}_.{kind.split('.')[-1]}"
            if kind.endswith("zarr"):
                adata.write_zarr(found[kind])
            else:
                adata.write_h5ad(found[kind], compression="gzip" if "gzip" in kind else None)
    return found


@pytest.fixture
def on_disk():
    with ssl.settings.override(in_memory_mb=0):
        yield


@pytest.fixture
def small_buffers(monkeypatch):
    monkeypatch.setattr("scssl.train.sampler.BUFFER", 128)
    monkeypatch.setattr("scssl.train.sampler.BLOCKS", 2)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_in_memory(kind, files, cells):
    rng = np.random.default_rng(0)
    genes, positions = np.array([3, 1, 7]), np.array([5, -1, 0, 39])
    wanted = [np.arange(N), rng.permutation(N)[:50], np.array([9, 9, 2]), np.array([N - 1]), np.arange(100, 130)]
    with opened(files[kind]) as file:
        for index in wanted:
            dense = cells.X.toarray()[index]
            np.testing.assert_array_equal(Stream(file)[index].toarray(), dense)
            np.testing.assert_array_equal(Stream(file, genes=genes)[index].toarray(), dense[:, genes])
            found = Stream(file, positions=positions)[index].toarray()
            np.testing.assert_array_equal(found[:, [0, 2, 3]], dense[:, [5, 0, 39]])
            assert (found[:, 1] == 0).all()
            counts = cells.layers["counts"].toarray()[index]
            np.testing.assert_array_equal(Stream(file, "counts")[index].toarray(), counts)
        assert Stream(file).shape == (N, GENES)


def test_what_is_left_on_disk(files, cells, on_disk):
    for kind in KINDS:
        with opened(files[kind]) as file:
            assert streamed(file)
            with ssl.settings.override(in_memory_mb=1000):
                assert not streamed(file)
    assert not streamed(cells)
    by_columns = cells.copy()
    by_columns.X = sp.csc_matrix(by_columns.X)
    assert not streamed(by_columns)


def test_the_bound_is_that_of_the_values(files, cells):
    mb = 8 * cells.X.nnz / 1e6
    with opened(files["h5ad"]) as file:
        for bound, expected in ((0.99 * mb, True), (1.01 * mb, False)):
            with ssl.settings.override(in_memory_mb=bound):
                assert streamed(file) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_identity_does_not_need_the_whole(kind, files, cells, on_disk, monkeypatch):
    monkeypatch.setattr("scssl.data.matrix.BLOCK", 100)
    with opened(files[kind]) as file:
        assert data_id(file, columns=("batch",)) == data_id(cells, columns=("batch",))


@pytest.mark.parametrize("sizes", [(700,), (300, 330, 70)])
def test_an_epoch_in_blocks(sizes):
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    whole = Sampler.by_batch(codes, [str(i) for i in range(len(sizes))], 32)
    sampler = Sampler(N, 32, whole.pools, block=8, per_buffer=20)
    buffers = sampler.buffers(0, 3)
    parts = sampler.epoch(0, 3)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(N))
    assert len(buffers) == -(-sum(-(-n // 8) for n in sizes) // 20)
    for part in parts:
        assert len(set(codes[part])) == 1
        assert len(part) <= 32
    for buffer in buffers:
        assert sum(map(len, buffer)) <= 20 * 8
    if len(sizes) == 1:
        assert np.mean([len(set(part // 8)) for part in parts]) > 10  # cells of a mini-batch come from many places
    again, other = sampler.epoch(0, 3), sampler.epoch(0, 4)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(np.concatenate(parts), np.concatenate(other))


def test_in_memory_there_is_one_buffer():
    sampler = Sampler.mixed(100, 30)
    (buffer,) = sampler.buffers(0, 0)
    assert all(np.array_equal(a, b) for a, b in zip(buffer, sampler.epoch(0, 0), strict=True))


def test_every_row_is_read_once_and_two_buffers_are_held_at_most(files, cells, monkeypatch):
    sampler = Sampler(N, 32, (np.arange(N),), block=8, per_buffer=20)
    read: list[int] = []
    original = Stream.read
    monkeypatch.setattr(Stream, "read", lambda self, rows: (read.append(len(rows)), original(self, rows))[1])
    with opened(files["h5ad"]) as file:
        stream = Stream(file)
        buffers = [np.sort(np.concatenate(parts)) for parts in sampler.buffers(0, 0)]
        done = 0
        with stream.following(buffers):
            for i, parts in enumerate(sampler.buffers(0, 0)):
                for part in parts:
                    np.testing.assert_array_equal(stream[part].toarray(), cells.X[part].toarray())
                    np.testing.assert_array_equal(stream.near(part), buffers[i])
                    done += len(part)
                assert sum(read) <= sum(map(len, buffers[: i + 2]))
        assert done == sum(read) == N
        assert stream._held is None
        np.testing.assert_array_equal(stream[np.array([5, 3])].toarray(), cells.X[[5, 3]].toarray())


@pytest.mark.usefixtures("on_disk", "small_buffers")
@pytest.mark.parametrize("kind", ["h5ad", "gzip.h5ad", "dense.h5ad", "zarr"])
def test_training_from_disk(kind, files, cells):
    model = ssl.tl.fit(files[kind], "simclr", **QUICK)
    assert not model.record["in_memory"]
    with ssl.settings.override(in_memory_mb=1000):
        memory = ssl.tl.fit(files[kind], "simclr", **QUICK)
    assert memory.record["in_memory"]
    assert model.record["data_id"] == memory.record["data_id"]
    assert model.record["var_hash"] == memory.record["var_hash"]
    loss = model.history["loss"].to_numpy(), memory.history["loss"].to_numpy()
    np.testing.assert_allclose(*loss, rtol=0.05)
    again = ssl.tl.fit(files[kind], "simclr", **QUICK)
    np.testing.assert_array_equal(again.embed(cells), model.embed(cells))
    np.testing.assert_array_equal(model.embed(files[kind]), model.embed(cells))


@pytest.mark.usefixtures("on_disk", "small_buffers")
def test_timing_and_threads_do_not_matter(files, cells, monkeypatch):
    model = ssl.tl.fit(files["h5ad"], "simclr", **QUICK)
    original = Stream.read
    random = np.random.default_rng(0)

    def late(self, rows):
        time.sleep(random.uniform(0, 0.02))
        return original(self, rows)

    monkeypatch.setattr(Stream, "read", late)
    slow = ssl.tl.fit(files["h5ad"], "simclr", **QUICK)
    np.testing.assert_array_equal(slow.embed(cells), model.embed(cells))
    torch.set_num_threads(2)
    try:
        two = ssl.tl.fit(files["h5ad"], "simclr", **QUICK)
    finally:
        torch.set_num_threads(1)
    np.testing.assert_allclose(two.embed(cells), model.embed(cells), atol=1e-4)


@pytest.mark.usefixtures("on_disk", "small_buffers")
def test_a_stopped_run_resumes_to_the_same_bits(files, cells, tmp_path):
    whole = ssl.tl.fit(files["h5ad"], "simclr", **{**QUICK, "max_epochs": 4})
    ssl.tl.fit(files["h5ad"], "simclr", **QUICK, checkpoint_dir=tmp_path)
    resumed = ssl.tl.fit(files["h5ad"], "simclr", max_epochs=4, batch_size=64, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_array_equal(resumed.embed(cells), whole.embed(cells))


@pytest.mark.usefixtures("on_disk", "small_buffers")
def test_batches_from_disk(files):
    """One batch in a mini-batch; views that need all cells are left out, and that is said."""
    with pytest.warns(ssl._errors.ScsslWarning, match="views 'clear' are used instead of 'mixing'"):
        model = ssl.tl.fit(files["h5ad"], "vicreg", batch_key="batch", within_batch="sample", **QUICK)
    assert not model.record["in_memory"]
    asked = ssl.tl.fit(files["h5ad"], "simclr", batch_key="batch", views="tuned", **QUICK)
    assert asked.record["in_memory"]


@pytest.mark.usefixtures("on_disk")
def test_what_needs_all_cells_reads_them(files, cells):
    model = ssl.tl.fit(files["h5ad"], "pca", width=5)
    assert model.record["in_memory"]
    np.testing.assert_allclose(
        model.embed(files["h5ad"]), ssl.tl.fit(cells.copy(), "pca", width=5).embed(cells), atol=1e-5
    )


@pytest.mark.usefixtures("on_disk", "small_buffers")
def test_labels_from_disk(files, cells):
    model = ssl.tl.fit(files["h5ad"], "simclr", max_epochs=1)
    tuned = ssl.tl.finetune(files["h5ad"], model, label_key="cell_type", max_epochs=3)
    labels, _ = tuned.classify(files["h5ad"])
    np.testing.assert_array_equal(labels, tuned.classify(cells)[0])


def test_partners_are_cells_of_the_buffer(files, cells, on_disk):
    with opened(files["h5ad"]) as file:
        source = Cells.from_data(file, mask_by=None, stream=True)
        near = np.array([10, 4])
        far = np.arange(0, N, 7)
        memory = Cells.from_data(cells, mask_by=None)
        dense = cells.X.toarray()
        np.testing.assert_array_equal(Batches(memory).others("rna", far, near=near).numpy(), dense[far])
        found = Batches(source).others("rna", far, near=near).numpy()
        np.testing.assert_array_equal(found, dense[near[far % 2]])
        buffer = np.array([2, 4, 10, 500])
        with source.following([[buffer[::-1]]]):
            Batches(source).take(near)
            found = Batches(source).others("rna", far, near=near).numpy()
            np.testing.assert_array_equal(found, dense[buffer[far % 4]])


def test_an_error_of_the_reader_reaches_the_user(files, on_disk, monkeypatch):
    def broken(self, rows):
        raise OSError("the disk is gone")

    with opened(files["h5ad"]) as file:
        stream = Stream(file)
        monkeypatch.setattr(Stream, "read", broken)
        with pytest.raises(OSError, match="the disk is gone"), stream.following([np.arange(5)]):
            stream[np.arange(3)]


def test_blocks_are_as_large_as_chunks(files):
    with opened(files["h5ad"]) as file:
        stream = Stream(file)
        rows = stream._data.chunks[0] / (stream._data.shape[0] / N)
        assert stream.block == max(streams.BLOCK, int(np.ceil(rows)))
    with opened(files["zarr"]) as file:
        assert Stream(file).block > streams.BLOCK


def test_reading_a_backed_object_of_the_user(files, cells, on_disk):
    backed = ad.read_h5ad(files["h5ad"], backed="r")
    model = ssl.tl.fit(files["h5ad"], "simclr", max_epochs=1)
    ssl.tl.embed(backed, model)
    np.testing.assert_array_equal(backed.obsm["X_simclr"], model.embed(cells))
    assert csr(backed).shape == (N, GENES)
    backed.file.close()
