"""Records on disk: what is read is what was written, or it is told and made again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import scssl as ssl
from scssl._errors import ScsslWarning
from scssl.bench.cache import Cache, Embedded

ROW = {
    "task": "t",
    "metric": "m",
    "method": "pca",
    "value": 0.1 + 0.2,
    "fit_s": math.nan,
    "status": "ok",
    "message": "é",
}
TIMES = ["fit_s", "embed_s", "score_s", "peak_mb", "created"]


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def compare(adata, **options):
    table = ssl.tl.benchmark(
        adata.copy(), **{"methods": ["pca"], "batch_key": "batch", "label_key": "cell_type"} | options
    )
    return table.drop(columns=TIMES)


def test_a_record_is_what_was_written(cache):
    cache.write("a", [{**ROW, "key": "line", "data": "name", "seed": np.int64(3), "main": np.bool_(True)}])
    record = cache.read("a")
    assert record.rows[0]["value"] == 0.1 + 0.2
    assert math.isnan(record.rows[0]["fit_s"])
    assert record.rows[0]["seed"] == 3
    assert not {"key", "data"} & set(record.rows[0])
    assert not record.failed
    assert cache.read("b") is None
    assert cache.damaged == []
    cache.write("c", [{**ROW, "status": "failed"}, {**ROW, "status": "timeout"}])
    assert cache.read("c").failed


def test_every_truncation_and_changed_byte_is_noticed(cache):
    cache.write("a", [ROW])
    file = cache._cell("a")
    whole = file.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        file.write_bytes(whole[:length])
        assert cache.read("a") is None
    for place in range(len(whole)):
        changed = bytes([*whole[:place], whole[place] ^ 1, *whole[place + 1 :]])
        file.write_bytes(changed)
        record = cache.read("a")
        same = record is not None and json.loads(changed)["rows"] == json.loads(whole)["rows"]
        assert record is None or same  # spaces between the words may change
    assert cache.damaged


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": 1}', '{"format": 1, "cell_id": "b", "rows": []}'])
def test_foreign_files_are_not_records(cache, text):
    cache._cell("a").parent.mkdir(parents=True)
    cache._cell("a").write_text(text)
    assert cache.read("a") is None
    assert "a.json" in cache.damaged[0]


def test_a_record_under_another_name_is_not_taken(cache):
    cache.write("a", [ROW])
    cache._cell("a").rename(cache._cell("b"))
    assert cache.read("b") is None


def test_embeddings_are_checked(cache):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert cache.embedded("m") is None
    cache.keep("m", Embedded(x, {"fit_s": 1.5}), None)
    held = cache.embedded("m")
    np.testing.assert_array_equal(held.embedding, x)
    assert held.about == {"fit_s": 1.5}
    assert cache.model("m") is None
    file = cache.folder / "models" / "m" / "embedding.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert cache.embedded("m") is None
    assert "not what was written" in cache.damaged[0]


def test_a_lock_is_for_one(cache):
    with cache.lock("m") as first, Cache(cache.folder).lock("m") as second, cache.lock("n") as other:
        assert (first, second, other) == (True, False, True)
    with cache.lock("m") as again:
        assert again


def test_strays_of_a_job_are_swept(cache):
    cache.write("a", [ROW])
    for name in (".a.json.tmp-1-abc", ".b.json.tmp-1-abc"):
        (cache.folder / "cells" / name).write_text("half")
    stray = cache.folder / "models" / ".m.old-1-abc"
    stray.mkdir(parents=True)
    (stray / "x").write_text("old")
    cache.sweep("m", ["a"])
    assert sorted(p.name for p in (cache.folder / "cells").iterdir()) == [".b.json.tmp-1-abc", "a.json"]
    assert not stray.exists()


def test_the_second_call_reads_and_the_values_are_the_same(small, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    plain, first = compare(small), compare(small, cache_dir=cache)
    monkeypatch.setattr("scssl.models.fit.fit", None)  # would fail if it were called
    monkeypatch.setattr("scssl.bench.job.score_rows", None)
    second = compare(small, cache_dir=cache)
    assert first.equals(plain)
    assert second.equals(plain)
    renamed = compare(small, cache_dir=cache, methods={"mine": {"method": "pca"}}, name="other")
    assert renamed.drop(columns=["key", "data"]).equals(plain.drop(columns=["key", "data"]))
    assert {"mine", "random", "oracle"} == set(renamed["key"])


def test_a_new_task_does_not_train_again(small, tmp_path, monkeypatch):
    compare(small, cache_dir=tmp_path, tasks=["batch_correction"])
    model = next((tmp_path / "models").iterdir()) / "model"
    assert ssl.load(model).method == "pca"
    for file in (tmp_path / "cells").iterdir():
        file.unlink()
    monkeypatch.setattr("scssl.models.fit.fit", None)
    table = compare(small, cache_dir=tmp_path, tasks=["batch_correction"])
    assert set(table["status"]) == {"ok"}


def test_damaged_records_are_made_again_and_told(small, tmp_path):
    first = compare(small, cache_dir=tmp_path)
    files = sorted((tmp_path / "cells").iterdir())
    files[0].write_text("{")
    files[1].write_text(files[1].read_text().replace('"ok"', '"OK"', 1))
    with pytest.warns(ScsslWarning, match="cannot be read"):
        second = compare(small, cache_dir=tmp_path)
    assert second.equals(first)
    assert compare(small, cache_dir=tmp_path, policy="cached").equals(first)


def test_cached_computes_nothing(small, tmp_path):
    with pytest.warns(ScsslWarning, match="6 of 6 cells are not in the cache"):
        table = compare(small, cache_dir=tmp_path, policy="cached")
    assert set(table["status"]) == {"failed"}
    assert table["message"].str.contains("not done yet").all()
    assert set(table["key"]) == {"pca", "random", "oracle"}
    assert not tmp_path.exists() or not list(tmp_path.iterdir())


def test_always_computes_everything(small, tmp_path):
    compare(small, cache_dir=tmp_path)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cells").iterdir()}
    again = compare(small, cache_dir=tmp_path, policy="always")
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cells").iterdir()}
    assert set(after) == set(before)
    assert all(after[name] > before[name] for name in before)
    assert again.equals(compare(small, cache_dir=tmp_path))
