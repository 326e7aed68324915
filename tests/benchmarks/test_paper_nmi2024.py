"""The scripts of the second paper: what they share does what their tables say, on cells of which everything is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scssl as ssl

pytestmark = pytest.mark.filterwarnings("ignore::scssl.ScsslWarning")
SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "paper_nmi2024"
QUICK = {"batch_key": "batch", "label_key": "cell_type", "hold": 1, "steps": 4, "tune_steps": 2}


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(SCRIPTS))
    import masks
    import rare_types
    import report
    import study

    yield {"study": study, "report": report, "masks": masks, "rare_types": rare_types}
    sys.path.remove(str(SCRIPTS))
    for name in ("study", "report", "masks", "rare_types", "zero_shot"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    adata = ssl.datasets.synthetic(n_obs=300, n_vars=60, n_types=3, n_batches=3)
    labels = adata.obs["cell_type"].astype(str)
    labels.iloc[:10] = "undefined"
    adata.obs["cell_type"] = labels.astype("category")
    adata.write_h5ad(path)
    return path


@pytest.fixture
def study(scripts, file, tmp_path):
    return scripts["study"].Study(file, out=tmp_path, figures=tmp_path, **QUICK)


def test_held_out_donors_change_with_the_seed_and_are_never_trained_on(study):
    assert len({study.donors(seed) for seed in range(3)}) == 3
    for seed in range(3):
        reference, query = study.divided(seed)
        assert set(query.obs["batch"].astype(str)) == set(study.donors(seed))
        assert not set(reference.obs["batch"].astype(str)) & set(study.donors(seed))


def test_what_is_seen_and_what_is_labelled(scripts, study):
    run_of = scripts["study"].Run
    reference, query = study.divided(0)
    assert study._unlabelled(run_of("mae", unlabelled=50)).n_obs == 50
    assert study._unlabelled(run_of("mae")).n_obs == reference.n_obs
    assert study._unlabelled(run_of("mae", seen=True)).n_obs == reference.n_obs + query.n_obs
    labelled, asked = study.labelled(run_of("mae", labels=4))
    assert (labelled.obs["cell_type"].value_counts() == 4).all()
    assert "undefined" not in set(asked.obs["cell_type"].astype(str))
    assert set(labelled.obs_names) <= set(reference.obs_names)
    again, _ = study.labelled(run_of("pca", labels=4))
    assert list(again.obs_names) == list(labelled.obs_names)  # every line has the same labels


def test_steps_do_not_depend_on_the_number_of_cells(scripts):
    epochs_of = scripts["study"].epochs_of
    assert [epochs_of(400, n) for n in (50, 256, 2560, 25_600)] == [400, 400, 40, 4]
    assert epochs_of(1, 10_000) == 1


def test_rows_are_made_once_and_read_back(study, monkeypatch):
    runs = study.seeds(["pca", "from scratch"], 1, labels=5)
    made = study.rows(runs)
    assert list(made["way"]) == ["kNN", "linear probe", "fine-tuned"]
    assert made["macro_f1"].between(0, 1).all()
    assert made["macro_f1"].to_numpy() == pytest.approx([np.mean(list(f1.values())) for f1 in made["f1"]])

    def never(*args, **choices):
        raise AssertionError

    monkeypatch.setattr(type(study), "_row", never)
    pd.testing.assert_frame_equal(study.rows(runs), made)


def test_every_line_can_be_trained(scripts, study, tmp_path):
    from dataclasses import replace

    genes = study.divided(0)[0].var_names
    (tmp_path / "sets.gmt").write_text("\n".join(f"s{i}\t\t" + "\t".join(genes[10 * i : 10 * i + 8]) for i in range(5)))
    (tmp_path / "factors.txt").write_text("\n".join(genes[:4]))
    full = replace(study, gene_sets=tmp_path / "sets.gmt", regulators=tmp_path / "factors.txt")
    lines = scripts["study"].LINES
    rows = full.rows([scripts["study"].Run(line, labels=5, tuned=False) for line in lines])
    assert set(rows["line"]) == set(lines)
    models = {line: full.pretrained(scripts["study"].Run(line)) for line in lines}
    mae = models["mae"].module.encoder
    for line, model in models.items():
        if line != "pca":  # what is compared has one architecture
            assert str(model.module.encoder) == str(mae)


def test_regulons_are_the_genes_that_go_with_a_factor(scripts):
    adata = ssl.datasets.synthetic(n_obs=200, n_vars=30, n_types=2)
    ssl.pp.recipe(adata)
    x = adata.X.toarray()
    x[:, 3] = 2 * x[:, 7]
    adata.X = x
    found = scripts["study"].regulons(adata, [adata.var_names[7], "no gene"])
    assert list(found) == [f"{adata.var_names[7]}_targets"]
    targets = found[f"{adata.var_names[7]}_targets"]
    assert targets[0] == adata.var_names[3]
    assert adata.var_names[7] not in targets


ROWS = pd.DataFrame(
    {"line": ["a"] * 3 + ["b"] * 3, "way": "kNN", "seed": [0, 1, 2] * 2, "macro_f1": [0.5, 0.6, 0.7, 0.6, 0.7, 0.8]}
)


def test_tables_have_students_intervals_and_paired_differences(scripts):
    report = scripts["report"]
    from scipy import stats

    half = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert report.over_seeds(ROWS, ["line"])["half"].to_numpy() == pytest.approx([half, half])
    assert f"| a | 0.600 ± {half:.3f} |" in report.table(ROWS, ["line"], "way")
    assert "| b | +0.100 | +0.100 to +0.100 |" in report.gains(ROWS, {"line": "a"}, ["line"])


def test_figures_are_drawn(scripts, tmp_path):
    report = scripts["report"]
    report.dots(ROWS, tmp_path / "dots.png", y="line", color="way")
    report.curves(ROWS.assign(cells=100), tmp_path / "curve.png", x="cells", line="line", labels={"xlabel": "cells"})
    assert (tmp_path / "dots.png").stat().st_size > 5000
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_types_of_a_row(scripts):
    row = {"line": "a", "seed": 0, "f1": {"x": 0.25, "y": 0.75}, "n_labelled": {"x": 10, "y": 30}}
    single = scripts["rare_types"].by_type(pd.DataFrame([row]))
    assert dict(zip(single["type"], single["share"], strict=True)) == {"x": 0.25, "y": 0.75}
    assert dict(zip(single["type"], single["macro_f1"], strict=True)) == row["f1"]
