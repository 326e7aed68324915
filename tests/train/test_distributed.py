"""Two processes on the CPU through Lightning Fabric."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import scssl as ssl
from scssl._errors import InputError

RUN = """
import os, sys
import numpy as np
import scssl as ssl

if __name__ == "__main__":
    adata = ssl.datasets.synthetic(n_obs=200, n_vars=80, n_batches=2, seed=0)
    ssl.pp.recipe(adata)
    before = dict(os.environ)
    model = ssl.tl.fit(adata, "simclr", batch_key="batch", max_epochs=4, batch_size=64, accelerator="cpu", devices=2,
                       patience=50)
    assert dict(os.environ) == before
    assert len(model.history) == 4
    np.savez(sys.argv[1], embedding=adata.obsm["X_simclr"], loss=model.history["loss"])
"""


def test_two_processes_train_one_model(tmp_path):
    script, out = tmp_path / "run.py", tmp_path / "out.npz"
    script.write_text(RUN)
    subprocess.run([sys.executable, str(script), str(out)], check=True, timeout=300)
    made = np.load(out)
    assert np.isfinite(made["embedding"]).all()
    assert made["embedding"].std() > 0.1
    assert made["loss"][-1] < made["loss"].max()


BROKEN = """
import sys
import torch
import scssl as ssl
from scssl.methods.simclr import SimCLR

original = SimCLR.loss


def poisoned(self, views):
    terms = original(self, views)
    if torch.distributed.get_rank() == 1:
        terms["loss"] = terms["loss"] * float("nan")
    return terms


SimCLR.loss = poisoned

if __name__ == "__main__":
    adata = ssl.datasets.synthetic(n_obs=120, n_vars=60, seed=0)
    ssl.pp.recipe(adata)
    try:
        ssl.tl.fit(adata, "simclr", max_epochs=2, batch_size=64, accelerator="cpu", devices=2)
    except ssl.TrainingError as error:
        sys.stdout.write(f"{error.code}: {error}")
"""


@pytest.mark.slow  # three processes that import torch and Lightning; test_resume.py has the same in one process
def test_not_a_number_in_one_process_stops_all_with_the_same_error(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(BROKEN)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False)
    assert "gradient_not_finite: " in done.stdout, done.stderr
    assert "'simclr' stopped in epoch 0, step 0" in done.stdout


@pytest.mark.parametrize("devices", [0, -1, "two", 33])
def test_a_number_of_devices_that_makes_no_sense(pbmc, devices, unchanged):
    with unchanged(pbmc), pytest.raises(InputError) as caught:
        ssl.tl.fit(pbmc, devices=devices, batch_size=64, accelerator="cpu")
    assert caught.value.parameter == "devices"
    assert repr(devices) in str(caught.value)
