"""Missing genes: whether ``raw`` has them, and whether only spaces hide them."""

from __future__ import annotations

import pytest

import scssl as ssl


@pytest.fixture
def made():
    adata = ssl.datasets.synthetic(60, 40, n_types=2)
    ssl.pp.recipe(adata, n_top_genes=None)
    model = ssl.tl.fit(adata, "pca", width=3)
    adata.raw = adata
    return adata, model


def test_raw_is_mentioned_where_it_helps(made):
    adata, model = made
    with pytest.raises(
        ssl.InputError, match=r"adata\.raw has 20 of the others\. Embed adata\.raw\.to_adata\(\)"
    ) as caught:
        model.embed(adata[:, :20].copy())
    assert caught.value.code == "too_few_genes"
    with pytest.warns(ssl.ScsslWarning, match=r"the 4 missing ones are read as zero: .* adata\.raw has 4 of them"):
        model.embed(adata[:, :36].copy())
    few = adata[:, :20].copy()
    few.raw = few
    with pytest.raises(ssl.InputError) as caught:
        model.embed(few)
    assert "raw" not in str(caught.value)
    back = adata[:, :20].copy().raw.to_adata()
    assert model.embed(back).shape == (60, 3)


@pytest.mark.parametrize("change", ["{} ", " {}", "{}\t"])
def test_spaces_around_names_are_found(made, change):
    adata, model = made
    adata.raw = None
    adata.var_names = [change.format(name) for name in adata.var_names]
    with pytest.raises(ssl.InputError, match=r"40 match without the spaces around the names.*str\.strip\(\)"):
        model.embed(adata)
