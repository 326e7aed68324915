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
DOCS = Path(__file__).parents[1] / "docs"


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


def split_entries(text):
    """Entries, by counting braces."""
    entries, depth, begin = [], 0, 0
    for i, letter in enumerate(text):
        if depth == 0 and letter == "@":
            begin = i
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0, f"a brace too many after {text[max(i - 60, 0) : i]!r}"
        if letter == "}" and depth == 0:
            entries.append(text[begin : i + 1])
    assert depth == 0, f"the entry {text[begin : begin + 40]!r} is not closed"
    return entries


@pytest.mark.parametrize("file", [ROOT / "references.bib", DOCS / "extra.bib"], ids=lambda path: path.name)
def test_the_file_is_nothing_but_whole_entries(file):
    text = file.read_text(encoding="utf-8")
    entries = split_entries(text)
    assert len(entries) == text.count("\n@") + text.startswith("@")
    rest = text
    for entry in entries:
        rest = rest.replace(entry, "", 1)
    assert [line for line in rest.splitlines() if line.strip() and not line.startswith("%")] == []
    keys = []
    for entry in entries:
        head, *fields = entry.splitlines()
        found = re.fullmatch(
            r"@(article|inproceedings|incollection|book|misc|techreport|phdthesis|software)\{(\w+),", head
        )
        assert found, head
        keys.append(found[2])
        assert fields[-1] == "}", keys[-1]
        names = [re.match(r" +(\w+) *= *[{\d]", line) for line in fields[:-1]]
        assert all(names), (keys[-1], [line for line, name in zip(fields, names, strict=False) if not name])
        assert all(line.endswith(",") for line in fields[:-2]), keys[-1]
        found = [name[1].lower() for name in names]
        assert len(set(found)) == len(found), f"{keys[-1]} names a field twice"
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "damage",
    ["<<<<<<< HEAD\n", "  year = {2020},\n", "}\n", "@article{a,\n  title = {T},\n"],
)
def test_damage_is_noticed(damage, tmp_path):
    text = (ROOT / "references.bib").read_text(encoding="utf-8")
    place = text.index("\n@", len(text) // 2) + 1
    file = tmp_path / "references.bib"
    file.write_text(text[:place] + damage + text[place:], encoding="utf-8")
    with pytest.raises(AssertionError):
        test_the_file_is_nothing_but_whole_entries(file)


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
