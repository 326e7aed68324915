from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from scssl import _files

WRITER = """
import sys
from scssl import _files
path, size = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
for turn in range(10**9):
    _files.write_text(path, chr(97 + turn % 26) * size)
"""


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_write_text_creates_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.txt"
    _files.write_text(path, "äöü")
    _files.write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert names(path.parent) == ["b.txt"]


def test_an_error_leaves_the_old_file_and_no_trace(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), _files.atomic(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL does not exist on Windows")
def test_a_killed_writer_leaves_old_or_new_never_a_part(tmp_path):
    path, size = tmp_path / "a.txt", 2_000_000
    for delay in (0.01, 0.05, 0.09, 0.13, 0.17):
        _files.write_text(path, "z" * size)
        command = [sys.executable, "-c", WRITER, str(path), str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(delay)
            os.kill(writer.pid, signal.SIGKILL)
        content = path.read_text()
        assert len(content) == size
        assert len(set(content)) == 1


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "model"
    for turn in ("first", "second"):
        with _files.atomic(target) as temporary:
            (temporary / "part").mkdir(parents=True)
            (temporary / "part" / f"{turn}.txt").write_text(turn)
    assert names(target / "part") == ["second.txt"]
    assert names(tmp_path) == ["model"]


def test_a_folder_survives_an_error(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    with pytest.raises(ZeroDivisionError), _files.atomic(target) as temporary:  # noqa: PT012
        temporary.mkdir()
        (temporary / "weights").write_text("new")
        raise ZeroDivisionError
    assert (target / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_the_old_folder_comes_back_if_the_swap_fails(tmp_path, monkeypatch):
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    replace = type(target).replace

    def failing(self, to):
        if "tmp" in self.name:
            raise PermissionError("in use")
        return replace(self, to)

    monkeypatch.setattr(type(target), "replace", failing)
    with pytest.raises(PermissionError, match="in use"), _files.atomic(target) as temporary:
        temporary.mkdir()
    monkeypatch.undo()
    assert (target / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_fingerprint_is_of_the_content():
    assert _files.fingerprint({"a": 1, "b": [1, 2]}) == _files.fingerprint({"b": [1, 2], "a": 1})
    assert _files.fingerprint({"a": 1}) != _files.fingerprint({"a": 2})
    assert len(_files.fingerprint("x", 40)) == 40
    assert _files.canonical({"b": 1, "a": "é"}) == '{"a":"\\u00e9","b":1}'


def test_sha256_of_a_file(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert _files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_fingerprint_does_not_depend_on_the_process():
    script = textwrap.dedent("""
        from scssl import _files
        import sys
        sys.stdout.write(_files.fingerprint({"a": [1, 2.5, "x"], "b": None}))
    """)
    results = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        results.add(done.stdout)
    assert results == {_files.fingerprint({"a": [1, 2.5, "x"], "b": None})}
