from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import scssl
from scssl import InputError
from scssl._neighbors import nearest
from scssl.data import harmony
from scssl.data.harmony import MEETINGS, Clusters, correct, displacement, meet, unit


def cells(n_per: int = 60, *, shift: float = 3.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three types in two batches that lie apart; components, batches, types."""
    draw = np.random.default_rng(seed)
    types, batch = np.repeat([0, 1, 2], 2 * n_per), np.tile([0, 1], 3 * n_per)
    x = 0.5 * draw.normal(size=(len(types), 8))
    x[:, :3] += 4.0 * np.eye(3)[types]
    x[:, 3] += shift * (batch - 0.5)
    return x, batch, types


def gap(x: np.ndarray, batch: np.ndarray, types: np.ndarray) -> float:
    """Mean distance between the two batches' means of a type."""
    means = [[x[(types == t) & (batch == b)].mean(axis=0) for b in (0, 1)] for t in np.unique(types)]
    return float(np.mean([np.linalg.norm(a - b) for a, b in means]))


def mixed(x: np.ndarray, batch: np.ndarray, k: int = 15) -> float:
    """Share of neighbours of another batch."""
    return float((batch[nearest(x, k + 1).others.indices] != batch[:, None]).mean())


def agreeing(x: np.ndarray, labels: np.ndarray, k: int = 15) -> float:
    return float((labels[nearest(x, k + 1).others.indices] == labels[:, None]).mean())


def started(*, theta: float = 2.0, n_clusters: int = 5) -> tuple[Clusters, np.ndarray]:
    x, batch, _ = cells()
    order = np.argsort(batch, kind="stable")
    directions = unit(x[order])
    return Clusters.start(directions, batch[order], n_clusters, theta=theta, sigma=0.1, seed=0), directions


def test_weights_of_a_sweep_are_those_of_a_naive_loop():
    clusters, directions = started()
    codes, theta, sigma = clusters.codes, clusters.theta, clusters.sigma
    weights = clusters.weights.copy()
    centroids = np.array([sum(w * z for w, z in zip(column, directions, strict=True)) for column in weights.T])
    centroids = [c / np.sqrt((c**2).sum()) for c in centroids]
    blocks = np.array_split(np.random.default_rng(1).permutation(len(codes)), 7)
    for block in blocks:
        others = np.setdiff1d(np.arange(len(codes)), block)
        new = {}
        for i in block:
            row = []
            for k, centroid in enumerate(centroids):
                observed = sum(weights[j, k] for j in others if codes[j] == codes[i])
                expected = (codes == codes[i]).mean() * sum(weights[j, k] for j in others)
                penalty = ((expected + 1) / (observed + expected + 1)) ** theta
                row.append(penalty * np.exp(-((directions[i] - centroid) ** 2).sum() / sigma))
            new[i] = np.array(row) / sum(row)
        for i, row in new.items():
            weights[i] = row
    clusters.sweep(directions, blocks)
    np.testing.assert_allclose(clusters.weights, weights, rtol=1e-9, atol=1e-12)
    counts = [weights[codes == code].sum(axis=0) for code in (0, 1)]
    np.testing.assert_allclose(clusters.counts, counts, rtol=1e-9)


def test_objective_is_the_sum_over_cells_and_clusters():
    clusters, directions = started()
    total = 0.0
    for i, k in np.ndindex(clusters.weights.shape):
        w, code = clusters.weights[i, k], clusters.codes[i]
        expected = (clusters.codes == code).mean() * clusters.weights[:, k].sum()
        observed = clusters.weights[clusters.codes == code, k].sum()
        distance = ((directions[i] - clusters.centroids[k]) ** 2).sum()
        penalty = clusters.theta * np.log((observed + expected + 1) / (expected + 1))
        total += w * distance + clusters.sigma * w * (np.log(w) + penalty)
    assert clusters.objective(directions) == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("theta", [0.0, 1.0, 4.0])
def test_objective_does_not_rise(theta):
    clusters, directions = started(theta=theta, n_clusters=10)
    found = [clusters.objective(directions)]
    for sweep in range(20):
        blocks = np.random.default_rng(sweep).permutation(len(directions))
        clusters.sweep(directions, np.array_split(blocks, harmony.BLOCKS))
        found.append(clusters.objective(directions))
    # cells are assigned block by block, by counts of the others: near the end a block may cost the others a trace
    assert np.diff(found).max() <= 1e-3 * abs(found[0])
    assert found[-1] < found[0]


def test_displacement_solves_the_ridge_regression_of_every_cluster():
    x, batch, _ = cells(10)
    batch = np.where(np.arange(len(x)) % 7 == 0, 2, batch)
    order = np.argsort(batch, kind="stable")
    x, codes = x[order], batch[order]
    weights = np.random.default_rng(0).dirichlet(np.ones(4), size=len(x))
    alpha, naive = 0.3, np.zeros_like(x)
    design = np.hstack([np.ones((len(x), 1)), np.eye(3)[codes]])
    for k in range(4):
        share = np.array([(codes == code).mean() for code in range(3)])
        ridge = np.diag([0.0, *(alpha * share * weights[:, k].sum())])
        weighted = design * weights[:, [k]]
        solution = np.linalg.solve(design.T @ weighted + ridge, weighted.T @ x)
        solution[0] = 0.0  # what the batches share stays
        naive += weights[:, [k]] * (design @ solution)
    np.testing.assert_allclose(displacement(x, codes, weights, alpha=alpha), naive, atol=1e-10)


def test_a_cluster_of_one_batch_and_an_empty_one_displace_nothing():
    x, batch, _ = cells(10)
    codes = np.sort(batch)
    weights = np.zeros((len(x), 3))
    weights[np.arange(len(x)), codes] = 1.0  # the third cluster is empty
    found = displacement(x, codes, weights, alpha=0.1)
    assert np.abs(found).max() < 1e-10


def test_batches_meet_at_their_mutual_neighbours():
    x, batch, types = cells(shift=3.0)
    order = np.argsort(batch, kind="stable")
    x, batch, types = x[order], batch[order], types[order]
    assert gap(x, batch, types) == pytest.approx(3.0, abs=0.3)
    met = x
    for _ in range(MEETINGS):
        before, met = met, meet(met, batch, 20, seed=0)
        assert gap(met, batch, types) < gap(before, batch, types)
    assert gap(met, batch, types) < 0.4
    np.testing.assert_allclose(met.mean(axis=0), x.mean(axis=0), atol=0.5)


def test_a_shift_between_batches_is_removed_and_types_stay():
    x, batch, types = cells()
    found = correct(x, batch).embedding
    assert gap(found, batch, types) < 0.15 * gap(x, batch, types)
    assert mixed(x, batch) < 0.1 < 0.4 < mixed(found, batch)
    assert agreeing(found, types) > 0.99


def test_batches_far_apart_need_the_start():
    x, batch, types = cells(shift=30.0)
    assert mixed(correct(x, batch, neighbors=0).embedding, batch) == 0.0
    found = correct(x, batch).embedding
    assert mixed(found, batch) > 0.3
    assert agreeing(found, types) > 0.99


def test_a_type_of_one_batch_is_left_alone():
    x, batch, types = cells()
    keep = (types != 2) | (batch == 0)
    x, batch, types = x[keep], batch[keep], types[keep]
    found = correct(x, batch).embedding
    assert agreeing(found, types) > 0.99
    shared = types != 2
    assert mixed(found[shared], batch[shared]) > 0.4


def test_nothing_to_remove_removes_hardly_anything():
    x, batch, types = cells(shift=0.0)
    found = correct(x, batch).embedding
    assert np.linalg.norm(found - x) < 0.1 * np.linalg.norm(x)
    assert agreeing(found, types) > 0.99


def test_order_of_cells_and_names_of_batches_change_no_bit():
    x, batch, _ = cells()
    found = correct(x, batch, seed=3)
    order = np.random.default_rng(5).permutation(len(x))
    shuffled = correct(x[order], np.array([7, -2])[batch[order]], seed=3)
    np.testing.assert_array_equal(shuffled.embedding, found.embedding[order])
    np.testing.assert_array_equal(shuffled.objective, found.objective)


def test_noise_in_the_last_digits_changes_nothing_to_speak_of():
    x, batch, _ = cells()
    noise = 1e-10 * np.random.default_rng(0).normal(size=x.shape)
    np.testing.assert_allclose(correct(x + noise, batch).embedding, correct(x, batch).embedding, atol=1e-6)


def test_a_seed_gives_the_same_bits_and_another_one_others(unchanged, pbmc):
    x, batch, _ = cells()
    before = x.copy()
    with unchanged(pbmc):
        first = correct(x, batch, seed=1)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(correct(x, batch, seed=1).embedding, first.embedding)
    other = correct(x, batch, seed=2).embedding
    assert not np.array_equal(other, first.embedding)
    assert np.linalg.norm(other - first.embedding) < 0.1 * np.linalg.norm(x)


def test_the_number_of_threads_changes_no_bit():
    code = (
        "import hashlib, numpy as np\nfrom scssl.data.harmony import correct\n"
        "x = np.random.default_rng(0).normal(size=(1500, 20)); batch = np.arange(1500) % 3; x[:, 0] += batch\n"
        "print(hashlib.blake2b(correct(x, batch).embedding.tobytes()).hexdigest())"
    )
    seen = set()
    for threads in ("1", "3"):
        env = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        env["PYTHONPATH"] = os.pathsep.join(sys.path)
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        seen.add(done.stdout)
    assert len(seen) == 1


def test_history():
    x, batch, _ = cells()
    found = correct(x, batch)
    assert len(found.objective) == len(found.change) <= 10
    assert found.change[-1] <= harmony.SETTLED < found.change[0]
    once = correct(x, batch, max_rounds=1)
    np.testing.assert_array_equal(once.objective, found.objective[:1])
    assert found.embedding.shape == x.shape
    assert found.embedding.dtype == np.float64


def test_small_and_degenerate_input():
    x, batch, _ = cells(4)
    assert np.isfinite(correct(x.astype(np.float32), batch, n_clusters=100).embedding).all()
    same = correct(np.ones((40, 3)), np.arange(40) % 2).embedding
    np.testing.assert_allclose(same, 1.0, atol=1e-10)
    lone = np.where(np.arange(len(x)) == 5, 2, batch)  # a batch of one cell
    assert np.isfinite(correct(x, lone).embedding).all()
    assert np.isfinite(correct(np.vstack([x, np.zeros((1, 8))]), np.append(batch, 0)).embedding).all()


@pytest.mark.parametrize(
    ("x", "batch", "code", "says"),
    [
        (np.ones((6, 2)), np.zeros(6, dtype=int), "single_batch", "All 6 cells are of one batch"),
        (np.ones((6, 2)), np.arange(5), "batch_length", r"\(5,\).*\(6, 2\)"),
        (np.full((6, 2), np.nan), np.arange(6) % 2, "not_finite", "12 of 12 values"),
        (np.ones(6), np.arange(6) % 2, "not_finite", r"shape \(6,\)"),
    ],
)
def test_refused(x, batch, code, says):
    with pytest.raises(InputError, match=says) as caught:
        correct(x, batch)
    assert caught.value.code == code
    assert caught.value.fix


def test_does_not_import_torch():
    code = "import sys, scssl.data.harmony; print('torch' in sys.modules, 'anndata' in sys.modules)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"], scssl.__file__


def test_agrees_with_harmony_in_r(shared_data):
    import anndata as ad

    adata = ad.read_h5ad(shared_data / "reference_results" / "pbmc3500_pca_and_harmony.h5ad")
    batch = adata.obs["donor"].astype("category").cat.codes.to_numpy()
    x, theirs = adata.obsm["X_pca"], adata.obsm["X_harmony_R"]
    ours = correct(x, batch, neighbors=0).embedding  # as published
    # theirs meet at the mean of the batches, ours at the mean of the cells: places differ, distances do not
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)]
    assert min(alike) > 0.95
    assert np.mean(alike) > 0.99
    assert mixed(x, batch, 30) < 0.3
    assert mixed(ours, batch, 30) == pytest.approx(mixed(theirs, batch, 30), abs=0.01)


def test_real_batches_that_releases_of_harmony_leave_apart(shared_data):
    """Two batches of mouse ES cells lie so far apart that no cluster of the components holds cells of both."""
    import anndata as ad
    import scipy.sparse as sp

    from scssl.data.components import decompose

    adata = ad.read_h5ad(shared_data / "rna_mesc_2batches_readcounts.h5ad")
    per_cell = np.asarray(adata.X.sum(axis=1)).ravel()
    logged = sp.csr_matrix(sp.diags(1e4 / per_cell) @ adata.X).log1p()
    x = decompose({"rna": logged}, 50).scores
    batch = adata.obs["batch"].astype("category").cat.codes.to_numpy()
    types = adata.obs["cell_type"].to_numpy()
    assert mixed(x, batch) < 0.01
    found = correct(x, batch).embedding
    assert mixed(found, batch) > 0.25
    assert agreeing(found, types) >= agreeing(x, types) - 0.02
