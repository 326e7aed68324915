"""What a cell is called: everything that decides its value, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import scssl as ssl
from scssl._errors import InputError, KeyNotFoundError
from scssl.bench import code, identity, plan
from scssl.methods.simclr import SimCLR

GIVEN = {"tasks": None, "seeds": 1, "batch_key": "batch", "label_key": "cell_type"}


def cells_of(data, methods=("simclr",), **options):
    made = plan.plan(data, methods=methods, **GIVEN | options)
    table = made.table()
    return set(table.loc[table["key"] != "controls", "cell_id"])


def line(**options):
    return {"line": {"method": "simclr", **options}}


def test_names_and_written_defaults_change_nothing(small):
    usual = cells_of(small)
    default = SimCLR.configure()
    assert cells_of(small, line()) == usual
    assert cells_of(small, name="other", cache_dir="somewhere") == usual
    assert cells_of(small, line(temperature=default.temperature, preset="default")) == usual
    assert cells_of(small, line(within_batch="mask")) == usual
    assert cells_of(small, line(views="clear")) == cells_of(small, line(views=list(default.views)))
    assert cells_of(small, ["simclr", "pca"]) > usual


@pytest.mark.parametrize(
    "options",
    [
        {"methods": line(temperature=0.123)},
        {"methods": line(within_batch="off")},
        {"methods": line(views="mask")},
        {"methods": line(precision="bf16")},
        {"seeds": [1]},
        {"accelerator": "cpu"},
        {"layer": "counts"},
    ],
)
def test_everything_that_decides_a_value_changes_all(small, options):
    assert not cells_of(small, **options) & cells_of(small)


def test_other_scores_are_other_cells_of_the_same_models(small):
    def made(**options):
        return plan.plan(small, methods=["pca"], **GIVEN | options)

    usual, chosen = made().table(), made(metrics=["ilisi", "accuracy"]).table()
    assert not set(chosen["cell_id"]) & set(usual["cell_id"])
    assert set(chosen["model_id"]) == set(usual["model_id"])
    again = made(metrics=["ilisi", "bras", "accuracy"]).table()
    typing = again["task"] == "cell_typing"
    assert set(again.loc[typing, "cell_id"]) == set(chosen.loc[chosen["task"] == "cell_typing", "cell_id"])
    assert not set(again.loc[~typing, "cell_id"]) & set(chosen["cell_id"])
    without = made(unlabelled=[small.obs["cell_type"].iloc[0]])
    assert not set(without.table()["cell_id"]) & set(usual["cell_id"])
    assert set(without.table()["model_id"]) == set(usual["model_id"])
    without.verify(small)
    assert plan.Plan.from_json(without.to_json()) == without


def test_a_metric_of_no_task_that_is_asked_for(small):
    with pytest.raises(InputError, match="'accuracy' belongs to the task 'cell_typing'"):
        cells_of(small, tasks="batch_correction", metrics="accuracy")
    with pytest.raises(KeyNotFoundError, match="Did you mean 'ilisi'"):
        cells_of(small, metrics=["ilizi"])


def test_a_changed_default_is_another_cell(small, monkeypatch):
    usual = cells_of(small)

    @dataclass(frozen=True)
    class Config(SimCLR.Config):
        temperature: float = 0.777

    monkeypatch.setattr(SimCLR, "Config", Config)
    assert not cells_of(small) & usual


def test_data_genes_labels_and_held_out_cells_count(small):
    usual = cells_of(small)
    values, names = small.copy(), small.copy()
    values.X.data[0] = 0.5
    names.obs_names = [f"c{i}" for i in range(small.n_obs)]
    genes, labels = small.copy(), small.copy()
    genes.var = genes.var.assign(highly_variable=~genes.var["highly_variable"])
    labels.obs = labels.obs.assign(cell_type=labels.obs["cell_type"].astype(str).to_numpy()[::-1])
    for other in (values, names, genes, labels):
        assert not cells_of(other) & usual
    one, two = (cells_of(small, tasks=["cell_typing"], held_out=[b]) for b in ("batch1", "batch2"))
    assert not one & two


def test_when_a_recipe_was_run_does_not_count(small, monkeypatch):
    adata = ssl.datasets.synthetic(n_obs=90, n_vars=60, n_types=3, n_batches=2, seed=0)
    monkeypatch.setattr("scssl._clock.now", lambda: "another time")
    ssl.pp.recipe(adata, batch_key="batch", n_top_genes=40)
    assert adata.uns["scssl"]["recipe"] != small.uns["scssl"]["recipe"]
    assert cells_of(adata) == cells_of(small)


def test_the_code_counts(small, monkeypatch):
    usual = cells_of(small)
    monkeypatch.setattr(identity, "training", lambda *_: "changed")
    assert not cells_of(small) & usual
    monkeypatch.undo()
    monkeypatch.setattr(identity, "scoring", lambda *_: "changed")
    made = plan.plan(small, methods=["simclr"], **GIVEN)
    assert not set(made.table()["cell_id"]) & usual
    monkeypatch.undo()
    assert {j.model_id for j in made.jobs} == {j.model_id for j in plan.plan(small, methods=["simclr"], **GIVEN).jobs}


def test_source_is_told_apart():
    from scssl.methods.vicreg import VICReg

    assert code.hash_of([SimCLR]) != code.hash_of([VICReg])
    assert identity.scoring("cell_typing") != identity.scoring("batch_correction")
    made = type("Typed", (SimCLR,), {"__module__": "__main__"})
    assert code.hash_of([made]) != code.hash_of([SimCLR])


def test_versions_of_what_a_method_imports_count(tmp_path, monkeypatch):
    """Also what is imported inside of a function, as heavy libraries are."""
    file = tmp_path / "theirs.py"
    file.write_text(
        "import json\nfrom scssl import tl\ndef learn():\n    import scib_metrics.utils\n    from sklearn import svm\n"
    )
    names = {name.partition(".")[0] for name in code.imported(file)} - {"json", "scssl"}
    assert list(code.versions(tuple(names))) == ["scib-metrics", "scikit-learn"]
    before = code.hash_of([SimCLR])
    monkeypatch.setattr(code, "versions", lambda libraries: dict.fromkeys(libraries, "99"))
    code._below.cache_clear()
    assert code.hash_of([SimCLR]) != before
    code._below.cache_clear()


def test_a_plan_survives_as_text(small):
    methods = {"cold": {"method": "simclr", "views": ["mask:0.3", ssl.views.Gaussian()], "hidden": (32, 16)}, "pca": {}}
    made = plan.plan(small, methods=methods, path="a.h5ad", cache_dir="cache", **GIVEN | {"seeds": 2})
    again = plan.Plan.from_json(made.to_json())
    assert again.setting == made.setting
    assert again.table().equals(made.table())
    assert again.to_json() == made.to_json()
    again.verify(small)


def test_a_plan_for_other_data_or_code_is_refused(small, monkeypatch):
    made = plan.plan(small, methods=["pca"], **GIVEN)
    other = small.copy()
    other.X = other.X * 2
    with pytest.raises(InputError, match="The plan is for the data"):
        made.verify(other)
    other = small.copy()
    other.var["highly_variable"] = np.arange(other.n_vars) < 7
    with pytest.raises(InputError, match="other genes"):
        made.verify(other)
    monkeypatch.setattr(identity, "training", lambda *_: "changed")
    with pytest.raises(InputError, match=r"another version of scssl.*'pca'"):
        made.verify(small)


def test_a_split_of_the_user_is_verified(small):
    adata = small.copy()
    ssl.pp.split(adata, by="batch", held_out="batch1")
    made = plan.plan(adata, methods=["pca"], **GIVEN | {"split_key": "split", "tasks": ["cell_typing"]})
    made.verify(adata)
    adata.obs["split"] = np.where(adata.obs["batch"] == "batch2", "query", "reference")
    with pytest.raises(InputError, match="another version"):
        made.verify(adata)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 0}', '{"format": 1, "jobs": [{}], "setting": {}}'])
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(InputError, match="not a plan"):
        plan.Plan.from_json(text)


def test_one_cell_by_position_or_identifier(small):
    made = plan.plan(small, methods=["pca"], **GIVEN)
    table = made.table()
    for i, cell_id in enumerate(table["cell_id"]):
        for which in (str(i), cell_id):
            one = made.cell(which)
            assert list(one.cells.values()) == [cell_id]
            assert one.model_id == table["model_id"][i]
    with pytest.raises(InputError, match=f"fits 0 of the {len(table)} cells"):
        made.cell("999")
    with pytest.raises(InputError, match="fits 0"):
        made.cell("xyz")
    with pytest.raises(InputError):
        made.cell("")


def test_lines_of_embeddings(small):
    adata = small.copy()
    adata.obsm["X_mine"] = np.random.default_rng(0).random((adata.n_obs, 4))
    made = plan.plan(adata, methods=["pca"], embeddings=["mine"], **GIVEN | {"seeds": 3})
    table = made.table()
    assert table.groupby("key")["seed"].nunique().to_dict() == {"controls": 1, "mine": 1, "pca": 3}
    again = adata.copy()
    again.obsm["X_mine"][0] += 1
    other = plan.plan(again, methods=["pca"], embeddings=["mine"], **GIVEN | {"seeds": 3}).table()
    changed = ~table["cell_id"].isin(other["cell_id"])
    assert set(table.loc[changed, "key"]) == {"mine"}
    with pytest.raises(KeyNotFoundError, match="Did you mean 'X_mine'"):
        plan.plan(adata, methods=[], embeddings=["X_min"], **GIVEN)
    with pytest.raises(InputError, match="more than once"):
        plan.plan(adata, methods={"mine": {"method": "pca"}}, embeddings=["mine"], **GIVEN)
