"""Identity of results: every ingredient that is read gives another id, nothing that is not read does."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

import scssl as ssl
from scssl._registry import METRICS, TASKS
from scssl.bench import code, identity, plan
from scssl.bench.question import Question
from scssl.methods.simclr import SimCLR
from scssl.methods.vicreg import VICReg

GIVEN = {"tasks": "batch_correction", "seeds": 1, "batch_key": "batch", "label_key": "cell_type"}


@pytest.fixture
def data():
    adata = ssl.datasets.synthetic(n_obs=80, n_vars=50, n_types=3, n_batches=2, seed=1)
    ssl.pp.recipe(adata, batch_key="batch", n_top_genes=30)
    adata.var["mine"] = np.arange(adata.n_vars) < 25
    adata.X = adata.X.toarray()
    adata.layers["counts"] = adata.layers["counts"].toarray()
    adata.layers["other"] = adata.X.copy()
    return adata


def job_of(data, options, **given):
    made = plan.plan(data, methods={"line": options}, **{**GIVEN, **given})
    return next(job for job in made.jobs if job.entry is not None)


def ids(data, options, **given):
    job = job_of(data, options, **given)
    return job.model_id, *job.cells.values()


def other_value(adata):
    adata.X[3, 5] += 0.25


def other_mask(adata):
    adata.var["mine"] = ~adata.var["mine"].to_numpy()


def other_marks(adata):
    adata.var["highly_variable"] = ~adata.var["highly_variable"].to_numpy()


def other_layer(adata):
    adata.layers["other"][2, 7] += 0.5


def other_counts(adata):
    adata.layers["counts"][2, 7] += 1


def other_batches(adata):
    adata.obs["batch"] = adata.obs["batch"].astype(str).to_numpy()[::-1]


def other_labels(adata):
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str).to_numpy()[::-1]


def other_comment(adata):
    adata.obs["comment"] = "read by nobody"
    adata.var["comment"] = 1
    adata.uns["comment"] = "none"
    adata.obsm["X_comment"] = np.zeros((adata.n_obs, 2))


PLAIN = {"method": "simclr", "max_epochs": 1}
COUNTED = {"method": "simclr", "max_epochs": 1, "views": ["thin"]}


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (PLAIN, other_value),
        (PLAIN, other_marks),
        (PLAIN, other_batches),
        ({**PLAIN, "mask_by": "mine"}, other_mask),
        ({**PLAIN, "layer": "other"}, other_layer),
        (COUNTED, other_counts),
        ({"method": "mae", "output": "nb", "max_epochs": 1}, other_counts),
    ],
)
def test_what_is_read_gives_another_model(data, options, change):
    before = ids(data, options)
    change(data)
    after = ids(data, options)
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (PLAIN, other_comment),
        (PLAIN, other_mask),
        (PLAIN, other_layer),
        (PLAIN, other_counts),
        ({**PLAIN, "mask_by": "mine"}, other_marks),
    ],
)
def test_what_is_not_read_changes_nothing(data, options, change):
    before = ids(data, options)
    change(data)
    assert ids(data, options) == before


def test_other_labels_score_again_and_do_not_train_again(data):
    before = ids(data, PLAIN)
    other_labels(data)
    after = ids(data, PLAIN)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_genes_chosen_again_without_held_out_cells_count(data):
    """The recipe matters where cells are held out, and only there."""
    from scssl import _keys

    options, held = {**PLAIN}, {"tasks": "cell_typing"}
    whole, split = ids(data, options), ids(data, options, **held)
    shelf = _keys.peek(data)
    shelf[_keys.RECIPE] = re.sub(r'"n_top_genes": ?\d+', '"n_top_genes": 20', shelf[_keys.RECIPE])
    data.uns[_keys.UNS] = shelf
    assert ids(data, options) == whole
    assert ids(data, options, **held)[0] != split[0]


def test_configuration_and_seed_count(data):
    assert ids(data, PLAIN) != ids(data, {**PLAIN, "temperature": 0.9})
    assert ids(data, PLAIN) != ids(data, PLAIN, seeds=[7])


# the code


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of its own: ``main`` imports ``below``, which imports numpy inside of a function; ``apart`` is by itself."""
    folder = tmp_path / "theirs_of_identity"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "main.py").write_text("from theirs_of_identity import below\n\nclass Thing:\n    value = below.two()\n")
    (folder / "below.py").write_text('def two():\n    """Two."""\n    import numpy\n    return int(numpy.int8(2))\n')
    (folder / "apart.py").write_text("three = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def hash_now(name="main"):
    for cached in (code._below, code.tree_hash, code._file):
        cached.cache_clear()
    return code._below((f"theirs_of_identity.{name}",))


def test_the_code_that_is_imported_counts(package):
    before = hash_now()
    assert set(before[0]) == {"theirs_of_identity.main", "theirs_of_identity.below"}
    assert set(before[1]) == {"numpy"}
    (package / "below.py").write_text((package / "below.py").read_text().replace("int8(2)", "int8(3)"))
    assert hash_now() != before


@pytest.mark.parametrize(
    "change",
    [
        ("below.py", '"""Two."""', '"""Two, and said at length."""'),
        ("below.py", "    import numpy", "    # why numpy\n    import numpy"),
        ("below.py", "def two", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import json\n\ndef two"),
        ("apart.py", "3", "4"),
    ],
    ids=["docstring", "comment", "types", "unrelated"],
)
def test_words_and_other_modules_do_not_count(package, change):
    file, old, new = change
    if "TYPE_CHECKING" in new:  # the import of the constant itself is code
        text = (package / file).read_text()
        (package / file).write_text(text.replace("def two", "from typing import TYPE_CHECKING\n\ndef two"))
        new = new.replace("from typing import TYPE_CHECKING\n", "")
    before = hash_now()
    text = (package / file).read_text()
    (package / file).write_text(text.replace(old, new))
    assert hash_now() == before


def test_another_version_of_a_library_counts(package, monkeypatch):
    before = hash_now()
    monkeypatch.setattr(code.importlib.metadata, "version", lambda _: "99")
    assert hash_now() != before


def test_methods_views_and_tasks_are_told_apart(data):
    entry = job_of(data, PLAIN).entry
    setting = plan.Setting(question=Question(batch_key="batch"))
    assert code.hash_of([SimCLR]) != code.hash_of([VICReg])
    assert identity.scoring("cell_typing") != identity.scoring("batch_correction")
    assert identity.training(entry, setting) == identity.training(entry, setting)


def test_a_rewritten_view_class_gives_another_id(data, tmp_path, monkeypatch):
    """The code of a view that another package registers is read, wherever it is defined."""
    file = tmp_path / "rewritten_view.py"
    source = textwrap.dedent(
        """
        from dataclasses import dataclass
        from scssl._registry import VIEWS
        from scssl.views import View

        @VIEWS.register("halved", summary="halves")
        @dataclass(frozen=True)
        class Halved(View):
            main = "p"
            def change(self, x, context, generator):
                return x.mul_(0.5)
        """
    )
    file.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    import rewritten_view

    from scssl._registry import VIEWS

    options = {**PLAIN, "views": ["halved"]}
    try:
        before = ids(data, options)
        file.write_text(source.replace("0.5", "0.25"))
        for cached in (code._below, code.tree_hash):
            cached.cache_clear()
        assert ids(data, options) != before
        assert Path(rewritten_view.__file__) == file
    finally:
        VIEWS._added.pop("halved")
        VIEWS._objects.pop("halved")


def test_the_closure_of_a_method_holds_what_trains_it_and_no_other_method():
    modules, libraries = code._below(("scssl.methods.simclr", *identity.TRAINING))
    assert {"scssl.methods.simclr", "scssl.methods._trained", "scssl.train.loop", "scssl.nn.losses"} <= set(modules)
    assert not {"scssl.methods.vicreg", "scssl.methods.mae", "scssl.models.card", "scssl._errors"} & set(modules)
    assert {"torch", "numpy", "scipy"} <= set(libraries)


def test_the_closure_of_a_score_knows_neither_torch_nor_methods():
    modules, libraries = code._below(
        ("scssl.tasks.batch_correction", METRICS.get("ilisi").__module__, *identity.SCORING)
    )
    assert "scssl.metrics.integration" in modules
    assert TASKS.get("batch_correction").__module__ in modules
    assert not [name for name in modules if name.startswith(("scssl.methods", "scssl.nn", "scssl.models"))]
    assert "torch" not in libraries
