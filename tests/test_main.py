"""The command line, in this process: every command on files."""

from __future__ import annotations

import anndata as ad
import pandas as pd
import pytest

import scssl as ssl
from scssl.__main__ import main
from scssl.data.calm import calm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    adata = ssl.datasets.synthetic(n_obs=120, n_vars=60, n_types=3, n_batches=2, seed=0)
    adata.write_h5ad(folder / "counts.h5ad")
    return folder


def test_list(capsys):
    for kind in ("methods", "tasks", "metrics", "views", "datasets"):
        assert main(["list", kind]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("simclr", "batch_correction", "ilisi", "inner_swap", "pbmc68k"))


def test_a_listing_fits_into_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for kind in ("methods", "tasks", "metrics", "views", "datasets"):
        assert main(["list", kind]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_fit_embed_evaluate_benchmark_report(folder, capsys):
    keys = ["--batch-key", "batch", "--label-key", "cell_type"]
    assert main(["check", str(folder / "counts.h5ad"), "--method", "simclr", *keys]) == 0
    assert "looks_like_counts" in capsys.readouterr().out
    fitted = str(folder / "fitted.h5ad")
    fit = ["fit", str(folder / "counts.h5ad"), "simclr", "--recipe", "--out", fitted, "--model", str(folder / "model")]
    assert main([*fit, "--batch-key", "batch", "--max-epochs", "2", "--set", "width=16", "temperature=0.2"]) == 0
    adata = ad.read_h5ad(fitted)
    assert adata.obsm["X_simclr"].shape == (120, 16)
    assert ssl.load(folder / "model").module.config.temperature == 0.2
    assert main(["embed", fitted, str(folder / "model"), "--out", str(folder / "embedded.h5ad")]) == 0
    assert "simclr" in ad.read_h5ad(folder / "embedded.h5ad").uns["scssl"]["embeddings"]
    assert main(["evaluate", fitted, "X_simclr", *keys, "--out", str(folder / "scores.csv")]) == 0
    assert {"simclr", "random", "oracle"} == set(pd.read_csv(folder / "scores.csv")["method"])
    assert main(["benchmark", fitted, "--methods", "pca", "untrained", *keys, "--out", str(folder / "bench.csv")]) == 0
    assert main(["report", str(folder / "bench.csv"), "--out", str(folder / "report.html")]) == 0
    assert "<html" in (folder / "report.html").read_text()


def test_a_mudata_on_the_command_line(tmp_path, capsys):
    mdata = ssl.datasets.synthetic(n_obs=90, n_vars=50, n_batches=2, modalities=("rna", "prot"), seed=0)
    with calm():
        mdata.write_h5mu(tmp_path / "cells.h5mu")
    cells, fitted = str(tmp_path / "cells.h5mu"), str(tmp_path / "fitted.h5mu")
    words = ["fit", cells, "vicreg", "--recipe", "--max-epochs", "1", "--set", "modalities=('rna', 'prot')", "--out"]
    assert main([*words, str(tmp_path / "fitted.h5ad")]) == 1
    assert "holds a MuData. Pass --out" in capsys.readouterr().err
    assert main([*words, fitted]) == 0
    scores = tmp_path / "scores.csv"
    keys = ["--batch-key", "batch", "--label-key", "cell_type"]
    assert main(["evaluate", fitted, "X_vicreg", *keys, "--metrics", "ilisi", "--out", str(scores)]) == 0
    assert set(pd.read_csv(scores)["metric"]) == {"ilisi"}
    words = ["benchmark", fitted, "--methods", "pca", "--target", "prot", "--tasks", "modality_prediction"]
    assert main([*words, "--batch-key", "batch", "--out", str(scores)]) == 0
    assert {"pca", "ridge_pca"} <= set(pd.read_csv(scores)["key"])


def test_zarr_on_the_command_line(folder, tmp_path):
    stored = tmp_path / "cells.zarr"
    ad.read_h5ad(folder / "counts.h5ad").write_zarr(stored)
    words = ["fit", str(stored), "pca", "--recipe", "--set", "width=5", "--out", str(tmp_path / "fitted.zarr")]
    assert main(words) == 0
    assert ad.read_zarr(tmp_path / "fitted.zarr").obsm["X_pca"].shape == (120, 5)


def test_cite(capsys):
    assert main(["cite", "simclr", "vicreg"]) == 0
    assert "@" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "nowhere.h5ad", "--out", "x.h5ad"], "no file 'nowhere.h5ad'"),
        (["cite", "simcl"], "Did you mean 'simclr'"),
    ],
)
def test_errors_go_to_stderr_and_the_exit_code(words, message, capsys):
    assert main(words) == 1
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_h5ad(tmp_path, capsys):
    (tmp_path / "x.h5ad").write_bytes(b"not at all")
    assert main(["check", str(tmp_path / "x.h5ad")]) == 1
    assert "cannot be read as h5ad" in capsys.readouterr().err
    (tmp_path / "x.loom").write_bytes(b"not at all")
    assert main(["check", str(tmp_path / "x.loom")]) == 1
    assert "ends in '.loom', expected one of .h5ad, .zarr, .h5mu" in capsys.readouterr().err
