from __future__ import annotations

import re
import runpy
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scssl as ssl
from scssl import InputError, _keys, _results
from scssl._protocol import PAPER
from scssl._results import Row
from scssl.table import statistics
from scssl.table.board import board
from scssl.table.figures import _shared, dots, scatter
from scssl.table.ranks import ranks
from scssl.table.report import Background, render

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "rows.py")))

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>"
VOID = {"meta", "link", "img", "br", "hr", "line", "rect", "circle", "polyline"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def scored(table: pd.DataFrame) -> ad.AnnData:
    adata = ad.AnnData(np.zeros((2, 1), dtype=np.float32))
    _results.keep(adata, table)
    history = pd.DataFrame({"epoch": [1, 2], "loss": [3.0, 2.0], "effective_rank": [5.0, 9.0]}, index=["0", "1"])
    config = '{"temperature":0.5}'
    record = {"method": "simclr", "config": config, "seed": 7, "layer": "", "batch_key": "donor", "history": history}
    _keys.shelf(adata, _keys.MODELS)["simclr"] = record
    return adata


def test_everything_that_was_asked_for_is_on_the_page(tmp_path):
    adata = scored(made.with_status(made.scores(), "vicreg", "failed", "loss is not finite in epoch 3"))
    adata.uns["simulation"] = '{"what": "simulated batches"}'
    before = adata.copy()
    ssl.tl.report(adata, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    text = " ".join(page.text)
    for expected in (
        "pbmc68k", "id-pbmc68k", "700", "simulated batches", "simclr", "random", "oracle", "95 % interval over 2 seeds",
        "failed: loss is not finite in epoch 3; Total 0.", "0.6 bio + 0.4 batch", "ssl.tl.benchmark(adata",
        "ssl.tl.fit(adata, method='simclr', batch_key='donor', seed=7, temperature=0.5)", "pip install scssl==0.1.0",
        "@inproceedings{chen2020simclr", "@inproceedings{ovcharenko2025scssl", "numpy", "Python", "In words", "cannot be told from the best", "Not ranked: vicreg (failed).", "counted as random",
    ):  # fmt: skip
        assert expected in text, expected
    assert page.tags.count("svg") >= 4 + 2
    assert len(adata.uns["scssl"]["scores"]) == len(before.uns["scssl"]["scores"])
    assert set(adata.uns) == set(before.uns)


def test_the_page_needs_no_network_and_runs_nothing(tmp_path):
    ssl.tl.report(scored(made.scores()), tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "link", "iframe", "img", "object", "embed", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "action") or name.startswith("on")]
    targets = [value for name, value in page.attributes if name == "href"]
    assert targets  # within the page
    assert {t.removeprefix("#") for t in targets} <= {value for name, value in page.attributes if name == "id"}
    assert "default-src 'none'" in " ".join(value or "" for _, value in page.attributes)
    assert not re.search(r"url\(|@import", (tmp_path / "report.html").read_text(encoding="utf-8"))


def test_hostile_text_is_shown_not_run():
    rows = made.scores({"pca": 0.4, HOSTILE: 0.6}, data=HOSTILE)
    rows = made.with_status(rows, HOSTILE, "failed", HOSTILE, metrics=["kbet"])
    rows = pd.concat(
        [
            rows,
            _results.frame(
                [Row(method="pca", key="pca", task=HOSTILE, metric=HOSTILE, group=HOSTILE, value=0.5, main=True)]
            ),
        ]
    )
    history = pd.DataFrame({"loss": [2.0, 1.0]})
    background = Background(
        simulated=HOSTILE, models=pd.DataFrame({"config": [HOSTILE], "method": [HOSTILE]}, index=[HOSTILE]),
        histories={HOSTILE: history}, commands=[HOSTILE], session=[(HOSTILE, HOSTILE)], citations=HOSTILE,
    )  # fmt: skip
    page = Page(render(rows, title=HOSTILE, background=background))
    assert not {"script", "img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert sum(HOSTILE in text for text in page.text) >= 8


def test_nothing_scored_and_nothing_finished_make_a_page():
    assert "Nothing was scored" in render(_results.frame([]))
    failed = _results.frame([Row(method="byol", key="byol", status="timeout", message="after 60 s")])
    page = Page(render(failed))
    assert "byol : ran out of time: after 60 s" in " ".join(page.text)
    places = {value for name, value in page.attributes if name == "id"}
    assert {value.removeprefix("#") for name, value in page.attributes if name == "href"} <= places


def test_a_table_for_each_task_with_a_cell_per_method_and_metric():
    html = render(made.scores())
    tables = re.findall(r'<table class="board">.*?</table>', html, flags=re.DOTALL)
    assert [Page(table).tags.count("td") for table in tables] == [6 * (3 + 5 + 5 + 3), 6 * (5 + 3)]


def test_only_controls_of_the_task_stand_in_its_table():
    extra = [
        Row(method="mean_profile", key="mean_profile", task="cell_typing", metric="macro_f1", group="typing", value=0.1)
    ]
    html = render(pd.concat([made.scores(), _results.frame([replace(row, data_id="id-pbmc68k") for row in extra])]))
    first, second = re.findall(r'<table class="board">.*?</table>', html, flags=re.DOTALL)
    assert "mean_profile" not in first
    assert "mean_profile" in second


def test_several_data_sets_are_shown_one_by_one():
    both = pd.concat([made.scores(data="first"), made.scores({"simclr": 0.9, "pca": 0.1}, data="second")])
    html = render(both)
    text = " ".join(" ".join(Page(html).text).split())
    assert "Total on each data set" in text
    total = statistics.per_run(both).query("metric == 'total' and data_id == 'id-second' and method == 'simclr'")
    assert f'<td class="n">{total["value"].mean():.3f}</td>' in html
    assert '<th class="n">second</th>' in html
    assert "on each data set" not in render(made.scores())


def test_what_a_model_cannot_answer_is_no_failure():
    """Who has no decoder is not asked what it decodes."""
    rows = made.scores({"pca": 0.4, "simclr": 0.6})
    own = [
        Row(method="pca", key="pca", task="reconstruction", metric=metric, group=group, value=0.3, seed=0)
        for metric, group in (("weighted_ev", "reconstruction"), ("weighted_ev_own", "own"))
    ] + [
        Row(
            method="simclr",
            key="simclr",
            task="reconstruction",
            metric="weighted_ev",
            group="reconstruction",
            value=0.2,
        )
    ]
    own = [replace(row, data="pbmc68k", data_id="id-pbmc68k") for row in own]
    table = board(pd.concat([rows[rows["seed"] == 0], _results.frame(own)]))
    assert table.status["weighted_ev_own"]["simclr"] == _results.NOT_APPLICABLE
    assert not table.notes


def test_a_missing_number_is_named_not_left_blank():
    table = made.with_status(made.scores(), "pca", "failed", "boom", metrics=["kbet"])
    html = render(table)
    # the metric, its group and the total; and the two figures in which the totals have no dot
    assert html.count('class="missing">failed') == 3
    assert "nan" not in html.lower().replace("finance", "")


def test_a_report_can_be_made_from_a_file(tmp_path):
    made.scores().to_csv(tmp_path / "scores.csv", index=False)
    ssl.tl.report(tmp_path / "scores.csv", tmp_path / "a" / "report.html", title="Ours", profile="paper")
    text = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Ours</h1>" in text
    assert "min-max scaled values" in text
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["report.html"]


@pytest.mark.parametrize("name", ["report.pdf", "report", "folder.html"])
def test_a_path_that_is_not_an_html_file_is_refused(tmp_path, name):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="the report is one HTML file") as caught:
        ssl.tl.report(made.scores(), tmp_path / name)
    assert caught.value.parameter == "path"


def test_the_page_says_nothing_about_folders_and_users(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2-in-the-environment")
    ssl.tl.report(scored(made.scores()), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for private in (str(tmp_path), str(Path.home()) + "/", str(Path.cwd()), "hunter2-in-the-environment"):
        assert private not in text


def test_figures_are_drawn_from_the_numbers():
    """Dots, mean and interval of one method, read back from the drawing."""
    table = board(made.scores(seeds=3))
    panel = dots(table, "total", ranks(table).query("task == 'batch_correction'"))
    line = next(x for x in panel["lines"] if x["label"] == "simclr")
    (x0, low), (x1, high) = ((x, float(text)) for x, text in (panel["ticks"][0], panel["ticks"][-1]))
    unit = (x1 - x0) / (high - low)
    at = lambda value: x0 + unit * (value - low)  # noqa: E731
    values = statistics.per_run(made.scores(seeds=3)).query("method == 'simclr' and metric == 'total'")["value"]
    np.testing.assert_allclose(line["dots"], [at(v) for v in values], atol=0.06)
    assert line["mean"] == pytest.approx(at(values.mean()), abs=0.06)
    assert line["bar"][1] == pytest.approx(at(table.high.loc["simclr", "total"]), abs=0.06)
    found = ssl.get.ranks(made.scores(seeds=3), task="batch_correction").set_index("method").loc["simclr"]
    assert line["rank"].split("–")[0] == str(found["rank_low"])
    assert line["tied"]


def test_time_is_a_logarithmic_axis_and_names_do_not_cover_each_other():
    levels = {f"method_{i}": 0.5 + 0.01 * i for i in range(9)}
    table = board(made.scores(levels, seeds=2).assign(fit_s=lambda t: t["method"].str[-1].astype(int) + 10.0))
    part = ranks(table).query("task == 'batch_correction'")
    drawn = scatter(table, part)
    points = {p["name"]: p["x"] for p in drawn["points"]}
    seconds = part.set_index("method")["seconds"]
    slope = (points["method_8"] - points["method_0"]) / np.log(seconds["method_8"] / seconds["method_0"])
    expected = points["method_0"] + slope * np.log(seconds["method_4"] / seconds["method_0"])
    assert points["method_4"] == pytest.approx(expected, abs=0.2)
    texts = [(x, y, x + 6.3 * len("method_0"), y + 14) for x, y in (p["at"] for p in drawn["points"])]
    assert sum(_shared(a, b) for i, a in enumerate(texts) for b in texts[i + 1 :]) == 0
    assert scatter(table, part.head(1)) is None


def test_both_policies_stand_beside_each_other():
    html = render(made.with_status(made.scores(), "pca", "failed", "boom", metrics=["kbet"]))
    drop, floor = (ssl.get.summary(made.with_status(made.scores(), "pca", "failed", "boom", metrics=["kbet"]), missing=m)
                   .loc["pca", "total"] for m in ("drop", "floor"))  # fmt: skip
    cells = f'<td class="n">–</td><td class="n">{drop:.3f}</td><td class="n">{floor:.3f}</td>'
    assert cells in html
    assert "counted as random</th>" not in render(made.scores())


def test_the_paper_profile_lists_who_depends_on_whom():
    text = " ".join(Page(render(made.scores(), protocol=PAPER)).text)
    assert "Depends on the company" in text
    found = ssl.get.flips(made.scores())
    assert text.count("the other way round without") == len(found)
    assert "Depends on the company" not in render(made.scores())


def test_a_file_of_an_earlier_version_makes_a_page_and_figures(tmp_path):
    """A CSV with only the columns that a row needs to mean something, in any order."""
    old = made.scores(seeds=2)[["value", "metric", "method", "task", "group", "seed", "main", "better", "status"]]
    old.to_csv(tmp_path / "old.csv", index=False)
    frame = pd.read_csv(tmp_path / "old.csv")
    ssl.tl.report(frame, tmp_path / "old.html")
    text = " ".join(Page((tmp_path / "old.html").read_text(encoding="utf-8")).text)
    assert "simclr leads" in text
    assert "not recorded" in text
    assert ssl.pl.benchmark(frame, show=False) is not None
    assert ssl.pl.ranks(frame, show=False) is not None
    assert ssl.pl.tradeoff(frame, show=False) is not None
    assert ssl.tl.recommend(frame)["best"].map(len).min() >= 1
