"""The command line for clusters: a plan as a file, its cells by processes that share nothing but files, the table."""

from __future__ import annotations

import pandas as pd
import pytest

import scssl as ssl
from scssl.__main__ import main

TIMES = ["fit_s", "embed_s", "score_s", "peak_mb", "created"]
KEYS = ["--batch-key", "batch", "--label-key", "cell_type"]


@pytest.fixture
def folder(small, tmp_path):
    small.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path


def values(file):
    return pd.read_csv(file).drop(columns=TIMES)


def test_plan_cells_collect(folder, small, capsys):
    plan, out = str(folder / "plan.json"), str(folder / "scores.csv")
    write = ["benchmark", str(folder / "cells.h5ad"), "--methods", "pca", "untrained", *KEYS, "--plan", plan]
    assert main(write) == 0
    assert "9 cells of 9 embeddings, 0 to 8" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="9 of 9 cells are not in the cache"):
        assert main(["benchmark", "--plan", plan, "--collect"]) == 0
    for i in (8, 0, 3):
        assert main(["benchmark", "--plan", plan, "--cell", str(i)]) == 0
    said = capsys.readouterr().out
    assert "untrained, seed 0, cell_typing held-out batch=batch2: " in said
    assert "random and oracle, seed 0, batch_correction: " in said
    records = {p.name: p.stat().st_mtime_ns for p in (folder / "plan_results" / "cells").iterdir()}
    assert len(records) == 3
    with pytest.warns(UserWarning, match="6 of 9 cells are not in the cache"):
        assert main(["benchmark", "--plan", plan, "--collect", "--out", out]) == 0
    part = pd.read_csv(out)
    assert part.loc[part["status"] == "failed", "message"].str.contains("not done yet").all()
    assert main(["benchmark", "--plan", plan]) == 0
    assert main(["benchmark", "--plan", plan, "--collect", "--out", out]) == 0
    for name, time in records.items():
        assert (folder / "plan_results" / "cells" / name).stat().st_mtime_ns == time
    table = ssl.tl.benchmark(
        small.copy(), methods=["pca", "untrained"], batch_key="batch", label_key="cell_type", name="cells"
    )
    table.to_csv(folder / "direct.csv", index=False)
    pd.testing.assert_frame_equal(values(out), values(folder / "direct.csv"), check_exact=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plan", "nowhere.json"], "no plan 'nowhere.json'"),
        (["--plan", "nowhere.json", "--collect"], "no plan 'nowhere.json'"),
        ([], "nothing to do"),
        (["cells.h5ad"], "nothing to do"),
    ],
)
def test_wrong_words(words, message, capsys):
    assert main(["benchmark", *words]) == 1
    assert message in capsys.readouterr().err


def test_data_that_changed_are_refused(folder, small, capsys):
    plan = str(folder / "plan.json")
    assert main(["benchmark", str(folder / "cells.h5ad"), "--methods", "pca", *KEYS, "--plan", plan]) == 0
    other = small.copy()
    other.X = other.X * 2
    other.write_h5ad(folder / "cells.h5ad")
    assert main(["benchmark", "--plan", plan, "--cell", "0"]) == 1
    assert "The plan is for the data" in capsys.readouterr().err
    assert main(["benchmark", "--plan", plan, "--cell", "77"]) == 1
    assert "fits 0 of the 6 cells" in capsys.readouterr().err
