from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from scssl import InputError, KeyNotFoundError
from scssl._registry import DATASETS, METHODS, METRICS, TASKS, VIEWS, MetricSpec, Registry
from scssl._words import listed, nearest

ALL = (METHODS, VIEWS, METRICS, TASKS, DATASETS)

BUILT_IN = """
from __future__ import annotations
THINGS = None

@THINGS.register("alpha", title="Alpha", task="t", group="g", needs=("embedding",), better="lower")
def alpha():
    return "alpha was called"

@THINGS.register("beta", title="Beta", task="t", group="g", needs=())
class Beta:
    pass
"""

PLUGIN = """
@THINGS.register("gamma", title="Gamma", task="t", group="g", needs=())
def gamma():
    pass

@THINGS.register("alpha", title="Another", task="t", group="g", needs=())
def taken():
    pass
"""


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry of a package with two built-ins, and a distribution with entry points, of which one works."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").write_text("")
    (tmp_path / "zoo" / "animals.py").write_text(BUILT_IN.replace("THINGS = None", "from zoo_registry import THINGS"))
    (tmp_path / "zoo_registry.py").write_text(
        "from scssl._registry import MetricSpec, Registry\nTHINGS = Registry('thing', 'zoo', MetricSpec)\n"
    )
    (tmp_path / "guest.py").write_text(PLUGIN)
    (tmp_path / "torn.py").write_text("def broken(:\n")
    info = tmp_path / "guest_zoo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-zoo\nVersion: 1.0\n")
    points = """
        [zoo]
        gamma = guest:gamma
        alpha = guest:taken
        delta = guest:delta
        absent = nowhere_to_be_found:thing
        torn = torn:broken
    """
    (info / "entry_points.txt").write_text(textwrap.dedent(points))
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("thing", "zoo", MetricSpec)
    for name in ("zoo", "zoo.animals", "zoo_registry", "guest"):
        sys.modules.pop(name, None)


def test_built_ins_are_listed_without_being_imported(registry):
    assert {"alpha", "beta"} <= set(registry.names())
    assert registry.describe("alpha") == MetricSpec("alpha", "Alpha", "t", "g", ("embedding",), better="lower")
    assert "zoo.animals" not in sys.modules


def test_get_imports_one_module(registry):
    assert registry.get("alpha")() == "alpha was called"
    assert "zoo.animals" in sys.modules
    assert "guest" not in sys.modules


def test_wildcards_and_table(registry):
    assert registry.names("*a") == ["alpha", "beta", "gamma"]
    assert registry.names("al*") == ["alpha"]
    assert registry.names("x*") == []
    table = registry.table()
    assert table.loc["alpha", "better"] == "lower"
    assert table.loc[["alpha", "gamma"], "origin"].tolist() == ["scssl", "guest-zoo"]
    assert list(registry) == registry.names()


def test_an_entry_point_is_found_and_broken_ones_are_reported(registry):
    assert "gamma" in registry
    assert registry.describe("gamma").title == "Gamma"
    assert "guest" not in sys.modules
    assert set(registry.broken) == {"alpha", "delta", "absent", "torn"}
    assert "taken by scssl itself" in registry.broken["alpha"]
    assert "registers no 'delta'" in registry.broken["delta"]
    assert "not installed" in registry.broken["absent"]
    assert "SyntaxError" in registry.broken["torn"]
    assert registry.describe("alpha").title == "Alpha"


def test_unknown_names_get_the_nearest_and_the_list(registry):
    with pytest.raises(
        KeyNotFoundError, match=r"There is no thing 'alhpa'. Known: 'alpha', 'beta', 'gamma'. Did you mean 'alpha'\?"
    ):
        registry.get("alhpa")
    with pytest.raises(KeyNotFoundError, match="There is no thing 7"):
        registry.describe(7)
    assert "alhpa" not in registry


def test_the_decorator_adds_and_describes(registry):
    @registry.register("omega", title="Omega", task="t", group="g", needs=())
    def omega():
        return 1

    assert registry.get("omega") is omega
    assert omega.spec == registry.describe("omega")
    assert registry.table().loc["omega", "origin"] == __name__.partition(".")[0]


def test_a_taken_name_is_refused(registry):
    describe = {"title": "x", "task": "t", "group": "g", "needs": ()}

    def first():
        pass

    registry.register("omega", **describe)(first)
    registry.register("omega", **describe)(first)  # the same object again: a module that is run twice
    with pytest.raises(InputError, match="named 'omega' exists already"):
        registry.register("omega", **describe)(lambda: None)
    with pytest.raises(InputError, match=r"named 'alpha' exists already: zoo.animals.alpha"):
        registry.register("alpha", **describe)(first)


def test_a_description_is_checked(registry):
    with pytest.raises(InputError, match=r"unknown fields \['colour'\] and lacks \['group', 'needs', 'task'\]"):
        registry.register("x", title="X", colour="red")


@pytest.mark.parametrize("registry", ALL, ids=lambda r: r.kind)
def test_every_registered_thing_can_be_imported_and_carries_its_description(registry):
    assert registry.names()
    assert registry.broken == {}
    for name in registry:
        thing = registry.get(name)
        assert thing.spec == registry.describe(thing.spec.name)  # a function may go by several names
        assert registry.get(thing.spec.name) is thing
        assert registry.describe(name).summary, f"{registry.kind} {name!r} does not say what it is"


def test_listing_everything_imports_nothing_heavy():
    script = """
        import sys
        from scssl._registry import DATASETS, METHODS, METRICS, TASKS, VIEWS
        for registry in (DATASETS, METHODS, METRICS, TASKS, VIEWS):
            assert len(registry.table()), registry.kind
        heavy = {"torch", "scanpy", "matplotlib", "jax", "scvi", "anndata", "sklearn"} & set(sys.modules)
        sys.stdout.write(",".join(sorted(heavy)))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_nearest_and_listed():
    assert nearest("simclrr", ["simclr", "vicreg"]) == "Did you mean 'simclr'?"
    assert nearest("SIMCLR", ["simclr"]) == "Did you mean 'simclr'?"
    assert nearest("zzz", ["simclr"]) == ""
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed([str(i) for i in range(40)], limit=2) == "'0', '1' and 38 more"


GUEST = """
from scssl._registry import DATASETS, METRICS, TASKS
from scssl.tasks.batch_correction import BatchCorrection

@METRICS.register("guest_spread", title="Spread", task="batch_correction", group="beyond", needs=("embedding",), upper=1e999,
                  summary="s")
def spread(embedding):
    return float(embedding.std())

@TASKS.register("guest_mixing", title="Mixing", needs=("batch_key",), summary="s")
class Mixing(BatchCorrection):
    pass

@DATASETS.register("guest_cells", title="Cells", n_obs=90, n_vars=60, source="simulated")
def guest_cells():
    from scssl.datasets import synthetic

    return synthetic(n_obs=90, n_vars=60, n_types=3, n_batches=2)
"""


def test_metrics_tasks_and_data_of_another_package_are_used_by_name(tmp_path):
    """Installed beside scssl, never imported by hand: listed, computed, suggested."""
    (tmp_path / "guest.py").write_text(GUEST)
    info = tmp_path / "guest_scssl-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-scssl\nVersion: 1.0\n")
    points = "[scssl.metrics]\nguest_spread = guest:spread\n[scssl.tasks]\nguest_mixing = guest:Mixing\n"
    (info / "entry_points.txt").write_text(points + "[scssl.datasets]\nguest_cells = guest:guest_cells\n")
    code = """
import numpy as np, sys
import scssl as ssl
assert "guest" not in sys.modules
assert ssl.tl.metrics(full=True).loc["guest_spread", "origin"] == "guest-scssl"
adata = ssl.datasets.guest_cells()
adata.obsm["X_mine"] = np.random.default_rng(0).normal(size=(90, 4))
table = ssl.tl.evaluate(adata, use_rep="mine", batch_key="batch", metrics="guest_spread", tasks="batch_correction")
mine = table.query("key == 'mine'")
assert np.isclose(mine["value"].item(), adata.obsm["X_mine"].std()), mine
assert "guest_mixing" in ssl.tl.tasks().index
for call in (
    lambda: ssl.tl.evaluate(adata, use_rep="mine", batch_key="batch", metrics="gest_spread"),
    lambda: ssl.tl.evaluate(adata, use_rep="mine", batch_key="batch", tasks="guest_mixin"),
    lambda: ssl.datasets.guest_cell,
):
    try:
        call()
    except (ssl.KeyNotFoundError, AttributeError) as error:
        assert "Did you mean 'guest_" in str(error), error
    else:
        raise AssertionError
print("all is well")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "all is well\n", done.stderr
