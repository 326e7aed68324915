"""Methods that learn from labels are shown with a mark and have no rank."""

from __future__ import annotations

from scssl import _results
from scssl._results import Row
from scssl.table.board import board
from scssl.table.lines import SEES_LABELS
from scssl.table.ranks import ranks, tied


def rows():
    values = {"scanvi": 0.99, "scvi": 0.7, "pca": 0.5}
    about = {"task": "batch_correction", "metric": "ilisi", "group": "batch", "main": True, "data_id": "d"}
    made = [Row(method=m, key=m, seed=s, value=v + s / 100, **about) for m, v in values.items() for s in range(3)]
    return _results.frame(made)


def test_they_are_shown_with_a_note_and_not_ranked():
    table = board(rows())
    assert table.lines["sees_labels"].to_dict() == {"scanvi": True, "scvi": False, "pca": False}
    assert table.lines.loc["scanvi", "note"] == SEES_LABELS
    assert any(SEES_LABELS in note for note in table.notes)
    found = ranks(table).set_index("method")
    assert found["rank"].to_dict() == {"scvi": 1, "pca": 2, "scanvi": 0}
    assert all(method != "scanvi" for _, method in tied(table))
