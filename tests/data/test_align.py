from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scssl import InputError
from scssl.data.align import MINIMUM, align, kind

SYMBOLS = [f"GENE{i}" for i in range(100)]
MOUSE = [f"Gene{chr(97 + i // 10)}{i}" for i in range(100)]
HUMAN_IDS = [f"ENSG{i:011d}" for i in range(100)]
MOUSE_IDS = [f"ENSMUSG{i:011d}" for i in range(100)]


def test_equal():
    found = align(SYMBOLS, SYMBOLS)
    np.testing.assert_array_equal(found.positions, np.arange(100))
    assert (found.n_found, found.n_model, found.n_query, found.missing, found.reordered) == (100, 100, 100, (), False)
    assert found.note == ""
    assert found.report == "All 100 genes of the model were found."
    assert found.coverage == 1.0


def test_reordered_extra_and_missing():
    query = [*SYMBOLS[::-1][:90], "OTHER1", "OTHER2"]
    found = align(pd.Index(query), np.array(SYMBOLS))
    for j, name in enumerate(SYMBOLS):
        assert found.positions[j] == (query.index(name) if name in query else -1)
    assert found.positions.dtype == np.int64
    assert found.n_found == 90
    assert found.missing == tuple(SYMBOLS[:10])
    assert found.reordered
    assert "90 of 100 genes of the model were found (90.0%)" in found.note
    assert "the 10 missing ones are read as zero: 'GENE0'" in found.note
    assert "2 other genes of the query are not used" in found.report
    assert "another order" in found.report


def test_threshold_is_inclusive_and_named():
    assert align(SYMBOLS[:80], SYMBOLS).n_found == 80
    with pytest.raises(InputError) as caught:
        align(SYMBOLS[:79], SYMBOLS)
    error = caught.value
    assert error.code == "too_few_genes"
    assert error.parameter == "data"
    for part in ("Only 79 of the 100 genes", "79.0%", "at least 80% are needed", "'GENE0', 'GENE1'"):
        assert part in error.message
    assert error.fix
    assert MINIMUM == 0.8
    assert align(SYMBOLS[:79], SYMBOLS, minimum=0.5).n_found == 79


def test_nothing_in_common_shows_both_sides():
    with pytest.raises(InputError, match=r"First of the model: 'GENE0'.*of the query: 'A0'"):
        align([f"A{i}" for i in range(50)], SYMBOLS)


def test_same_number_of_other_names_is_refused():
    with pytest.raises(InputError, match="Only 0 of the 100"):
        align([f"OTHER{i}" for i in range(100)], SYMBOLS)


@pytest.mark.parametrize(
    ("query", "model", "says", "fix"),
    [
        (HUMAN_IDS, SYMBOLS, "The query has Ensembl ids, the model human gene symbols", "adata.var_names = "),
        (SYMBOLS, HUMAN_IDS, "The query has human gene symbols, the model Ensembl ids", "gene_ids"),
        ([f"{i}.{n % 9}" for n, i in enumerate(HUMAN_IDS)], HUMAN_IDS, "100 match without the version", "str.replace"),
        (HUMAN_IDS, [f"{i}.1" for i in HUMAN_IDS], "100 match without the version", "str.replace"),
        ([n.upper() for n in MOUSE], MOUSE, "100 match if upper and lower case are not told apart", "orthologs"),
        (MOUSE_IDS, HUMAN_IDS, "'ENSMUSG' in the query, 'ENSG' in the model", "orthologs"),
    ],
)
def test_kinds_of_names_are_recognised(query, model, says, fix):
    with pytest.raises(InputError) as caught:
        align(query, model)
    assert says in caught.value.message
    assert fix in caught.value.fix


@pytest.mark.parametrize(("twice", "side"), [(True, "query"), (False, "model")])
def test_duplicates_are_refused(twice, side):
    double = [*SYMBOLS, "GENE5", "GENE7"]
    with pytest.raises(
        InputError, match=f"2 gene names of the {side} occur more than once: 'GENE5', 'GENE7'"
    ) as caught:
        align(*((double, SYMBOLS) if twice else (SYMBOLS, double)))
    assert caught.value.code == "duplicated_var_names"
    assert "var_names_make_unique" in caught.value.fix


def test_empty_query_and_model():
    for query, model in (([], SYMBOLS), (SYMBOLS, []), ([], [])):
        with pytest.raises(InputError, match="Only 0 of the"):
            align(query, model)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (HUMAN_IDS, "Ensembl ids"),
        (["CD3E", "MS4A1", "HLA-DRA", "C1orf43", "NKG7"], "human gene symbols"),
        (["Cd3e", "Ms4a1", "H2-Aa", "Nkg7"], "mouse gene symbols"),
        (["1", "2", "3"], "names of unknown kind"),
        ([], "names of unknown kind"),
    ],
)
def test_kind(names, expected):
    assert kind(pd.Index(names, dtype=object)) == expected
