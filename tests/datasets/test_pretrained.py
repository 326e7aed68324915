"""Downloads of published weights: explicit, once, and checked ever after; from a server of our own."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import scssl as ssl
from scssl._errors import DownloadError, KeyNotFoundError

NAME = "ssl_in_scg/random_mask"


class Silent(SimpleHTTPRequestHandler):
    asked = 0

    def log_message(self, *_args):
        type(self).asked += 1


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "RandomMask.ckpt").write_bytes(b"weights" * 100)
    (folder / "var.parquet").write_bytes(b"genes")
    Silent.asked = 0
    made = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    made.folder = folder
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def get(server, tmp_path):
    url = f"http://127.0.0.1:{server.server_port}"
    return partial(ssl.datasets.pretrained, folder=tmp_path / "kept", url=url, progress=False)


def test_downloaded_once_and_noted(get, server, tmp_path):
    path = get(NAME)
    assert path == tmp_path / "kept" / "ssl_in_scg" / "RandomMask.ckpt"
    assert path.read_bytes() == b"weights" * 100
    assert (path.parent / "var.parquet").read_bytes() == b"genes"
    seen = json.loads((path.parent / "seen.json").read_text())
    assert seen["RandomMask.ckpt"]["bytes"] == 700
    assert len(seen["RandomMask.ckpt"]["sha256"]) == 64
    asked = Silent.asked
    assert get(NAME) == path
    assert Silent.asked == asked  # nothing is asked for again


def test_a_changed_file_is_refused(get, server):
    path = get(NAME)
    path.write_bytes(b"other")
    with pytest.raises(DownloadError, match=r"5 bytes.*when it was first downloaded it had 700"):
        get(NAME)
    path.unlink()
    assert get(NAME).read_bytes() == b"weights" * 100
    path.unlink()
    (server.folder / "RandomMask.ckpt").write_bytes(b"published anew")
    with pytest.raises(DownloadError, match="14 bytes"):
        get(NAME)
    (path.parent / "seen.json").write_text("{")
    with pytest.raises(DownloadError, match=r"seen\.json cannot be read"):
        get(NAME)


def test_what_cannot_be_downloaded(get, server, tmp_path):
    (server.folder / "RandomMask.ckpt").unlink()
    with pytest.raises(
        DownloadError, match=r"RandomMask\.ckpt could not be downloaded.*404.*put the file there yourself"
    ):
        get(NAME)
    assert not (tmp_path / "kept" / "ssl_in_scg" / "RandomMask.ckpt").exists()
    with pytest.raises(KeyNotFoundError, match="ssl_in_scg/gp_mask"):
        get("ssl_in_scg/gp")
    with pytest.raises(DownloadError, match="could not be downloaded"):
        get(NAME, url="http://127.0.0.1:9")
