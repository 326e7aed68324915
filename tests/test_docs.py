"""What the documentation shows runs as printed, and what it lists is what exists."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import matplotlib as mpl
import pytest

import scssl as ssl
from scssl import _results
from scssl._cite import bibliography
from scssl._registry import DATASETS, METHODS, METRICS, TASKS, VIEWS

REPO = Path(__file__).parents[1]
DOCS = REPO / "docs"
DEVELOPER = DOCS / "developer"
FAST = {"max_epochs": 2}

# how to write examples that show nothing: a figure or a log line is not compared
DOCTEST = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: Path, language: str = "python") -> list[str]:
    """Code blocks of a Markdown page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def quiet(code: str) -> str:
    """The code as a process without a screen runs it; a warning of scssl is an error: examples are not to warn."""
    head = (
        "import matplotlib; matplotlib.use('agg')",
        "import warnings, scssl",
        "scssl.settings.progress = False",
        "warnings.simplefilter('error', scssl.ScsslWarning)",
    )
    return "\n".join((*head, code))


def run(code: str, folder: Path, *paths: Path) -> str:
    """Run code in a new process in an empty folder; its standard output."""
    file = folder / "page.py"
    file.write_text(quiet(code), encoding="utf-8")
    ours = Path(ssl.__file__).parents[1]  # the scssl that is tested, wherever another one is installed
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*paths, ours))), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, file.name],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def cut(code: str) -> str:
    """The same calls with as few epochs as possible."""
    code = re.sub(r"max_epochs=\d+,?", "", code)
    trains = r"tl\.(?:fit|finetune|ablate)\((?![^()]*\"(?:pca|untrained)\")"
    return re.sub(rf"({trains}(?:[^()]|\([^()]*\))*?),?\s*\)", r"\1, max_epochs=2)", code)


# what is printed runs


def test_the_example_of_the_readme_runs_and_has_ten_lines(tmp_path):
    code = blocks(REPO / "README.md")[0]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) == 10
    before = "matplotlib.pyplot.show = lambda *a, **k: None\n"
    after = "\nassert adata.obsm['X_simclr'].shape == (700, 64)\nassert len(adata.uns['scssl']['scores']) > 10\n"
    run("import matplotlib.pyplot\n" + before + code + after, tmp_path)


@pytest.mark.slow
def test_the_second_example_of_the_readme_runs(tmp_path):
    first, second = blocks(REPO / "README.md")
    before = "".join(line for line in first.splitlines(keepends=True) if re.search(r"^import|datasets|recipe", line))
    run(before + cut(second) + "assert query.obsm['vicreg_prot'].shape == (300, 30)\n", tmp_path)


PAGES = [
    *("index.md", "quickstart.md", "guides/multimodal.md", "guides/compare.md"),
    *("concepts/results.md", "concepts/masks.md", "concepts/two_stages.md", "concepts/modalities.md"),
]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_for_users_runs_from_top_to_bottom(page, tmp_path):
    run(cut("\n".join(blocks(DOCS / page))), tmp_path)


@cache
def project_urls() -> dict[str, str]:
    return tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]


def package(folder: Path, module: str, code: str, points: str) -> None:
    """A package as pip leaves it: one module, and a record with its entry points."""
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    record = folder / f"{module}-0.1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 0.1\n")
    (record / "entry_points.txt").write_text(points)


def entry_points(page: Path) -> str:
    """The entry points that a page shows, in the form in which pip stores them."""
    groups = {}
    for block in blocks(page, "toml"):
        groups |= tomllib.loads(block)["project"]["entry-points"]
    return "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in groups.items()
    )


def test_add_a_method_is_a_package_that_works_as_shown(tmp_path):
    page = DEVELOPER / "add_a_method.md"
    code, _ = blocks(page)
    assert code.count("\n") < 70
    package(tmp_path, "scssl_wmse", code, entry_points(page))
    script = """
import scssl as ssl

table = ssl.tl.methods(full=True)
assert table.loc["wmse", "origin"] == "scssl-wmse"
import sys
assert "scssl_wmse" not in sys.modules and "torch" not in sys.modules, "a listing imports nothing"

adata = ssl.datasets.pbmc68k(batches=3)
ssl.pp.recipe(adata, batch_key="batch")
model = ssl.tl.fit(adata, method="wmse", batch_key="batch", max_epochs=2)
assert adata.obsm["X_wmse"].shape == (700, 64)
loss = ssl.get.history(adata, "wmse")["loss"]
assert len(loss) == 2 and loss.iloc[1] < loss.iloc[0]
assert adata.uns["scssl"]["models"]["wmse"]["within_batch"] == "sample"
model.save("saved")
again = ssl.load("saved")
assert (again.embed(adata) == adata.obsm["X_wmse"]).all()
try:
    ssl.tl.fit(adata, method="wmse", ridge=2.0)
except ssl.InputError as error:
    assert error.parameter == "ridge"
else:
    raise AssertionError("a ridge of 2 is out of range")
"""
    run(script, tmp_path, tmp_path)


def test_add_a_method_works_without_an_entry_point_too(tmp_path):
    code, use = blocks(DEVELOPER / "add_a_method.md")
    (tmp_path / "my_method.py").write_text(code, encoding="utf-8")
    check = "\nscores = ssl.get.scores(adata, method='wmse')\nassert (scores['status'] == 'ok').all(), scores\n"
    use = use.replace('"wmse"]', '"untrained", "wmse"]')
    fewer = use.replace("methods=", "held_out=['batch1'], methods=")
    run("import my_method\n" + fewer + check, tmp_path, tmp_path)


def test_add_a_metric_works_as_shown(tmp_path):
    page = DEVELOPER / "add_a_metric.md"
    code, use = blocks(page)
    folder = tmp_path / "my_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "mixing.py").write_text(code, encoding="utf-8")
    package(tmp_path, "my_package_metric", "", entry_points(page))
    check = """
mixed = measure("batch_evenness", inputs).value
apart = Inputs({"embedding": 100.0 * inputs.given["batch"][:, None] + inputs.given["embedding"],
                "batch": inputs.given["batch"]})
assert measure("batch_evenness", apart).value < 0.01 < 0.9 < mixed <= 1.0
"""
    run(use + check, tmp_path, tmp_path)


def test_add_a_task_works_as_shown(tmp_path):
    page = DEVELOPER / "add_a_task.md"
    code, use = blocks(page)
    folder = tmp_path / "my_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "purity.py").write_text(code, encoding="utf-8")
    package(tmp_path, "my_package_task", "", entry_points(page))
    check = """
scores = ssl.get.scores(adata).set_index("method")
assert scores.loc["random", "value"] < scores.loc["pca", "value"] < scores.loc["oracle", "value"] <= 1.0
assert (scores["status"] == "ok").all()
"""
    run(use + check, tmp_path, tmp_path)


def test_add_a_dataset_works_as_shown(tmp_path):
    page = DEVELOPER / "add_a_dataset.md"
    code, use = blocks(page)
    folder = tmp_path / "my_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "two_types.py").write_text(code, encoding="utf-8")
    package(tmp_path, "my_package_data", "", entry_points(page))
    check = """
problems = ssl.pp.check(adata, label_key="cell_type")
assert "error" not in set(problems["severity"]), problems
about = ssl.datasets.table().loc["two_types"]
assert adata.shape == (about["n_obs"], about["n_vars"])
"""
    run(use + check, tmp_path, tmp_path)


# the examples of the docstrings


def documented() -> list[str]:
    """Public functions and classes with an example."""
    names = []
    for space in ("pp", "tl", "pl", "get", "datasets"):
        module = importlib.import_module(f"scssl.{space}")
        listed = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
        names += [f"{space}.{name}" for name in listed]
    return [*names, "cite", "Model"]


def _thing(name: str) -> object:
    thing = ssl
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


@pytest.mark.parametrize("name", documented())
def test_the_example_of_a_docstring_runs(name, tmp_path, monkeypatch):
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestFinder(recurse=False).find(inspect.unwrap(_thing(name)), name, globs={})
    assert examples, f"{name} has no docstring"
    assert any(test.examples for test in examples), f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=DOCTEST, verbose=False)
    report: list[str] = []
    for test in examples:
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


# what is listed is what exists


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_says_what_it_does_and_where_it_comes_from(name):
    spec, doc = METHODS.describe(name), inspect.getdoc(METHODS.get(name)) or ""
    assert re.match(r"[A-Z].*\.", doc.split("\n\n")[0].replace("\n", " ")), "the docstring starts with a sentence"
    assert spec.summary
    if spec.family != "control":
        assert spec.reference in bibliography()
        assert spec.reference in doc, "the docstring cites it"


@pytest.mark.parametrize("registry", [METRICS, TASKS, VIEWS, DATASETS], ids=lambda r: r.kind)
def test_everything_else_has_a_summary_and_known_references(registry):
    for name in registry:
        spec = registry.describe(name)
        assert spec.summary, name
        keys = [key.strip() for key in spec.reference.split(",") if key.strip()]
        assert set(keys) <= set(bibliography()), name


def test_the_page_on_results_names_every_column():
    page = (DOCS / "concepts" / "results.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    assert set(_results.COLUMNS) <= named
    assert set(_results.STATUS) <= named


def test_the_architecture_page_names_every_room():
    page = (DEVELOPER / "architecture.md").read_text(encoding="utf-8")
    rooms = [p.name for p in Path(ssl.__file__).parent.iterdir() if p.is_dir() and not p.name.startswith("__")]
    assert [room for room in rooms if room not in page] == []


def test_the_page_on_views_names_every_pipeline():
    page = (DOCS / "api" / "views.md").read_text(encoding="utf-8")
    for name, views in ssl.views.PIPELINES.items():
        assert f'`"{name}"`' in page
        assert all(f"`{view if isinstance(view, str) else view['view']}`" in page for view in views)


def test_the_readme_shows_the_commands_of_the_makefile():
    readme = (REPO / "README.md").read_text(encoding="utf-8")
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    assert blocks(REPO / "README.md", "bash")[0] == "make demo\nmake test\n"
    for target in re.findall(r"\bmake (\w+)", readme):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for variable in re.findall(r"\b([A-Z]+)=\S", readme):
        assert variable in makefile, variable


def command_lines() -> list[str]:
    pages = [REPO / "README.md", *DOCS.glob("*.md"), *DEVELOPER.glob("*.md")]
    text = "\n".join(block for page in pages for block in blocks(page, "bash"))
    return re.findall(r"^scssl .*$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_is_understood(line):
    from scssl.__main__ import _parser

    options = _parser().parse_args(shlex.split(line)[1:])
    assert options.command


def written_pages() -> list[Path]:
    """Pages that are written by hand; Sphinx checks the links of those that it makes."""
    made = {"generated", "_build", "tutorials"}
    return [REPO / "README.md", *(page for page in sorted(DOCS.rglob("*.md")) if not made.intersection(page.parts))]


@pytest.mark.parametrize("page", written_pages(), ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_the_citation_file_is_valid_and_of_this_version():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == ssl.__version__
    assert citation["authors"] == [{"name": "The scssl developers"}]
    assert citation["repository-code"] == project_urls()["Source"]


def test_the_changelog_has_this_version():
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(ssl.__version__)}\]", changelog, re.MULTILINE)


def test_the_tutorials_were_executed():
    notebooks = sorted((REPO / "tutorials").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), path.name
        assert not [o for cell in code for o in cell["outputs"] if o["output_type"] == "error"], path.name


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx_book_theme")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html", "-d", tmp_path / "trees", DOCS, tmp_path / "html"],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    for name in METHODS:
        assert (tmp_path / "html" / "methods" / "generated" / f"{name}.html").exists()
