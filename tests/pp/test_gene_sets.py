"""Gene sets: every source, matched by name, coverage, files, refusals."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scssl as ssl
from scssl._errors import InputError, KeyNotFoundError
from scssl.data import gene_sets

SETS = {"STAT1_targets": ["A", "B", "C"], "B (regulon)": ["C", "D", "missing"], "small": ["A", "missing"]}
GMT = "STAT1_targets\thttp://x\tA\tB\tC\nB (regulon)\t\tC,1.0\tD,0.5\tmissing,1.0\t\n\nsmall\tna\tA\tmissing\n"


@pytest.fixture
def adata():
    adata = ad.AnnData(sp.csr_matrix(np.eye(6, dtype=np.float32)))
    adata.var_names = ["A", "B", "C", "D", "E", "STAT1"]
    adata.var["ensembl"] = [f"ENSG0000000000{i}.{i}" for i in range(6)]
    return adata


def table(sets):
    return pd.DataFrame([(name, gene) for name, genes in sets.items() for gene in genes], columns=["source", "target"])


@pytest.mark.parametrize("form", ["gmt", "path", "dict", "table", "decoupler"])
def test_every_source_gives_the_same(adata, form, tmp_path):
    file = tmp_path / "sets.gmt"
    file.write_text(GMT)
    source = {
        "gmt": str(file),
        "path": file,
        "dict": SETS,
        "table": table(SETS),
        "decoupler": table(SETS).assign(weight=1.0).rename(columns={"source": "geneset", "target": "genesymbol"}),
    }[form]
    ssl.pp.gene_sets(adata, source, min_genes=2)
    members = adata.varm["gene_sets"]
    assert sp.issparse(members)
    assert members.dtype == np.float32
    np.testing.assert_array_equal(members.toarray().T, [[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0]])
    record = adata.uns["scssl"]["gene_sets"]["gene_sets"]
    assert record["names"].tolist() == ["STAT1_targets", "B (regulon)"]
    assert record["n_genes"].tolist() == [3, 3]
    assert record["n_found"].tolist() == [3, 2]
    assert record["regulators"].tolist() == ["STAT1", "B"]
    assert record["n_dropped"] == 1


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_survives_files_and_subsets(adata, suffix, tmp_path):
    ssl.pp.gene_sets(adata, SETS, min_genes=2)
    path = tmp_path / f"cells.{suffix}"
    getattr(adata, f"write_{suffix}")(path)
    back = getattr(ad, f"read_{suffix}")(path)
    genes = np.array(["C", "STAT1", "A"])
    for data in (adata, back, back[:, ["A", "C", "D", "STAT1"]].copy()):
        sets = gene_sets.stored(data, genes, key="gene_sets", modality="rna")
        np.testing.assert_array_equal(sets.members, [[True, False, True], [True, False, False]])
        assert sets.regulators.tolist() == [1, -1]  # B is not among these genes
        assert sets.names == ["STAT1_targets", "B (regulon)"]


def test_ensembl_ids_in_a_column_without_version(adata):
    sets = {"x": ["ENSG00000000001", "ENSG00000000003.9", "ENSG00000000009"]}
    ssl.pp.gene_sets(adata, sets, gene_key="ensembl", min_genes=2, key_added="other")
    np.testing.assert_array_equal(adata.varm["other"].toarray().ravel(), [0, 1, 0, 1, 0, 0])
    with pytest.raises(InputError, match=r"0 of the 3 genes.*var\['ensembl'\] has 2 of them: pass gene_key='ensembl'"):
        ssl.pp.gene_sets(adata, sets, min_genes=2)


def test_sizes(adata):
    ssl.pp.gene_sets(adata, SETS, min_genes=1, max_genes=2)
    assert adata.uns["scssl"]["gene_sets"]["gene_sets"]["names"].tolist() == ["B (regulon)", "small"]
    ssl.pp.gene_sets(adata, {"twice": ["A", "A", "B"]}, min_genes=2)  # a gene counts once
    assert adata.varm["gene_sets"].toarray().sum() == 2


def test_genes_of_one_symbol_are_all_in_the_set(adata):
    adata.var["symbol"] = ["A", "A", "B", "C", "D", "E"]
    ssl.pp.gene_sets(adata, {"x": ["A", "C"]}, gene_key="symbol", min_genes=2)
    np.testing.assert_array_equal(adata.varm["gene_sets"].toarray().ravel(), [1, 1, 0, 1, 0, 0])


def test_refusals(adata, unchanged, tmp_path):
    (tmp_path / "table.gmt").write_text("name\tgene\n")
    (tmp_path / "zipped.gmt").write_bytes(b"\x1f\x8b\x08\xff\xfe")
    adata.varm["mine"] = np.zeros((6, 2))
    cases = [
        (tmp_path / "absent.gmt", {}, "is not a file"),
        (tmp_path / "table.gmt", {}, "line 1 has 2 columns"),
        (tmp_path / "zipped.gmt", {}, "not a text file"),
        ({}, {}, "no genes"),
        ({"x": "A"}, {}, "not a list of genes"),
        (7, {}, "of type int"),
        (pd.DataFrame({"a": ["x"]}), {}, "has the columns 'a'"),
        ({"x": ["a", "b", "c"]}, {"min_genes": 2}, "3 match if upper and lower case"),
        (SETS, {}, "No gene set has enough genes"),
        (SETS, {"min_genes": 0}, "min_genes=0"),
        (SETS, {"key_added": "mine"}, "mine"),
    ]
    for source, options, text in cases:
        with unchanged(adata), pytest.raises(InputError, match=text):
            ssl.pp.gene_sets(adata, source, **options)
    with pytest.raises(KeyNotFoundError, match="ensembl"):
        ssl.pp.gene_sets(adata, SETS, gene_key="ensemble")
    mdata = ssl.datasets.synthetic(n_obs=20, n_vars=10, modalities=("rna", "prot"))
    with pytest.raises(InputError, match=r"mdata\.mod\['rna'\]"):
        ssl.pp.gene_sets(mdata, SETS)


def test_real_sets_on_real_cells(shared_data):
    adata = ad.read_h5ad(shared_data / "rna_pbmc_facs_10types.h5ad", backed="r")
    var = ad.AnnData(var=adata.var.copy())
    adata.file.close()
    ssl.pp.gene_sets(var, shared_data / "genesets" / "msigdb_hallmark_v7.0.symbols.gmt")
    record = var.uns["scssl"]["gene_sets"]["gene_sets"]
    assert len(record["names"]) == 50
    assert (record["n_found"] / record["n_genes"]).mean() > 0.8
    ssl.pp.gene_sets(var, shared_data / "genesets" / "reactome_human.gmt", key_added="reactome")
    assert var.varm["reactome"].shape[1] > 500
