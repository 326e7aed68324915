from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import scssl as ssl
from scssl import KeyNotFoundError
from scssl._cite import bibliography, references
from scssl._registry import DATASETS, METHODS, METRICS, TASKS, VIEWS

ROOT = Path(ssl.__file__).parent


@pytest.mark.parametrize("registry", [METHODS, METRICS, TASKS, VIEWS, DATASETS], ids=lambda r: r.kind)
def test_every_reference_is_in_the_bibliography(registry):
    missing = {name: key for name in registry for key in references(name) if key not in bibliography()}
    assert missing == {}


def test_every_citation_in_a_docstring_is_in_the_bibliography():
    text = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py"))
    cited = {key.strip() for group in re.findall(r":cite:[pt]:`([^`]+)`", text) for key in group.split(",")}
    assert cited
    assert cited - set(bibliography()) == set()


def test_entries_are_whole_and_unique():
    text = (ROOT / "references.bib").read_text(encoding="utf-8")
    entries = bibliography()
    assert len(entries) == len(re.findall(r"^@", text, flags=re.M))
    for key, entry in entries.items():
        assert entry.count("{") == entry.count("}"), key
        fields = set(re.findall(r"^ +(\w+) *=", entry, flags=re.M))
        assert {"title", "author", "year"} <= fields, key
        assert fields & {"journal", "booktitle"}, key


def test_cite_by_name_and_by_key():
    assert ssl.cite("simclr").startswith("@inproceedings{chen2020simclr,")
    assert ssl.cite("simclr") == ssl.cite("chen2020simclr") == ssl.cite("simclr", "chen2020simclr")
    both = ssl.cite("vicreg", "pca")
    assert both.index("bardes2022vicreg") < both.index("pearson1901pca")
    assert "ovcharenko2025scssl" in ssl.cite()


def test_a_name_without_a_publication_gives_nothing():
    assert ssl.cite("random") == ""


def test_unknown_names_get_the_nearest():
    with pytest.raises(KeyNotFoundError, match=r"There is no citation 'simcrl'.*Did you mean 'simclr'"):
        ssl.cite("simcrl")


def test_cite_stays_a_function_whatever_is_imported():
    import scssl.tl._report  # noqa: F401 - a module named cite would take the place of the function

    assert callable(ssl.cite)


def test_citing_works_without_torch():
    script = "import sys, scssl; scssl.cite('simclr', 'vicreg'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
