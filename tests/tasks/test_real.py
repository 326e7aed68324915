"""Every metric on real cells: what must not matter does not, and controls bracket what is real."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

from scssl._registry import METRICS, TASKS
from scssl.data.calm import calm
from scssl.tasks import Cells, control_rows, score_rows

SETS = {"pbmc": "rna_pbmc_3chemistries.h5ad", "pancreas": "rna_pancreas_5technologies.h5ad"}
BOTH = ["batch_correction", "cell_typing"]
# noise has no batches: it mixes them as well as can be
MIXING = {"bras", "ilisi", "cilisi", "kbet", "pcr_comparison"}


def named(tasks):
    chosen = [name for task in tasks for name in TASKS.get(task)().metrics()]
    return [*chosen, *(["scgraph", "silhouette_batch"] if "batch_correction" in tasks else [])]


def values(embedding, cells, tasks=BOTH, **options):
    rows = score_rows(embedding, cells, tasks, metrics=named(tasks), **options)
    return {(row["split"], row["metric"]): row["value"] for row in rows if row["status"] == "ok"}


@pytest.fixture(scope="module", params=list(SETS))
def real(request, shared_data):
    """Cells and their principal components."""
    adata = ad.read_h5ad(shared_data / SETS[request.param])
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    cells = Cells.of(adata, batch_key="batch", label_key="cell_type", values=True)
    return cells, cells.before[:, :20]


@pytest.fixture(scope="module")
def expected(real):
    cells, x = real
    found = values(x, cells)
    assert {metric for _, metric in found} == set(named(BOTH))
    return found


def same(found, expected):
    assert set(found) == set(expected)
    for place, value in expected.items():
        assert found[place] == pytest.approx(value, abs=1e-6), place


def test_order_of_cells_does_not_matter(real, expected):
    cells, x = real
    order = np.random.default_rng(0).permutation(len(cells))
    same(values(x[order], cells.take(order)), expected)


def test_names_of_labels_and_batches_do_not_matter(real, expected):
    cells, x = real
    random = np.random.default_rng(0)

    def renamed(column):
        names = np.unique(column.astype(str))
        other = dict(zip(names, random.permutation([f"{i} name" for i in range(len(names))]), strict=True))
        return np.array([other[name] for name in column.astype(str)], dtype=object), other

    labels, _ = renamed(cells.labels)
    batch, batches = renamed(cells.batch)
    back = {
        f"held-out batch={new}, transductive": f"held-out batch={old}, transductive" for old, new in batches.items()
    }
    found = values(x, replace(cells, labels=labels, batch=batch))
    same({(back.get(split, split), metric): value for (split, metric), value in found.items()}, expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rotation_does_not_matter(real, expected, dtype):
    """Of either precision, if it is turned in double precision: distances differ in the 15th digit, clusters do not."""
    cells, x = real
    x = x.astype(dtype)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(x.shape[1], x.shape[1])))[0]
    same(values(x @ rotation, cells), values(x, cells))


def test_oracle_is_best_and_noise_is_worst(real):
    cells, x = real
    names = named(BOTH)
    found = {}
    rows = [*control_rows(cells, BOTH, metrics=names), *score_rows(x, cells, BOTH, metrics=names)]
    for row in rows:
        if row["status"] == "ok":
            found.setdefault(row["metric"], {}).setdefault(row.get("method", "real"), []).append(row["value"])
    for metric, by in found.items():
        mean = {method: np.mean(v) for method, v in by.items()}
        assert METRICS.describe(metric).better == "higher"
        if metric != "silhouette_batch":  # the reason why it is not a default
            assert mean["oracle"] >= mean["real"] - 0.01, (metric, mean)
        if metric == "scgraph":  # noise, too, puts the centres of small labels far out
            assert mean["oracle"] > max(mean["random"], mean["real"])
        elif metric not in MIXING and metric != "silhouette_batch":
            assert mean["real"] >= mean["random"] - 0.01, (metric, mean)


def test_reconstruction_is_bracketed(real):
    cells, x = real
    mean = {}
    rows = [*control_rows(cells, ["reconstruction"]), *score_rows(x, cells, ["reconstruction"])]
    for row in rows:
        mean.setdefault((row.get("method", "real"), row["metric"]), []).append(row["value"])
    mean = {place: np.mean(v) for place, v in mean.items()}
    for metric in ("weighted_ev", "ev_above_pca"):
        assert mean["oracle", metric] >= mean["real", metric] > mean["random", metric]
    assert mean["pca_64", "weighted_ev"] > mean["mean_profile", "weighted_ev"]


@pytest.fixture(scope="module", params=["cite_pbmc10k_pbmc5k.h5mu", "multiome_scicar_a549.h5mu"])
def pair(request, shared_data):
    """Cells of two modalities: proteins (of 200 cells of the second batch only), or peaks."""
    import mudata as md

    import scssl as ssl

    with calm():
        mdata = md.read_h5mu(shared_data / request.param)
    target = next(name for name in mdata.mod if name != "rna")
    kept = mdata.obs_names[np.random.default_rng(0).permutation(mdata.n_obs)[:1200]]
    shared = mdata.obs_names.intersection(mdata.mod[target].obs_names)[-200:]
    with calm():
        mdata = mdata[kept.union(shared)].copy()
    ssl.pp.recipe(mdata, n_top_genes=500)
    batch_key = "batch" if mdata.obs["batch"].nunique() > 1 else None
    return Cells.of(mdata, batch_key=batch_key, target=target, modality=None)


def test_a_modality_of_real_cells_is_predicted(pair):
    from scssl.tasks._cells import principal_components

    x = principal_components(pair.source_values, width=20)
    rows = [*control_rows(pair, ["modality_prediction"]), *score_rows(x, pair, ["modality_prediction"])]
    rows = [row for row in rows if row["status"] == "ok"]
    mean = {}
    for row in rows:
        mean.setdefault((row.get("method", "real"), row["metric"]), []).append(row["value"])
    mean = {place: np.mean(v) for place, v in mean.items()}
    for metric in {metric for _, metric in mean}:
        sign = -1 if METRICS.describe(metric).better == "lower" else 1
        oracle, real, noise = (sign * mean[name, metric] for name in ("oracle", "real", "random"))
        assert oracle >= real, metric
        assert real >= noise - 0.01, metric
    assert mean["mean_profile", "pearson_feature"] == 0.0
    # why the main metric goes by feature: over the features of a cell the mean profile is hard to beat
    assert mean["mean_profile", "pearson_cell"] > 0.5 * mean["real", "pearson_cell"]
    assert ("real", "auprc") in mean or pair.target != "atac"
