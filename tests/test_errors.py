from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import scssl
from scssl import InputError, KeyNotFoundError, ScsslError, ScsslWarning
from scssl._errors import UNCHANGED, warn
from scssl._validate import ERROR, WARNING, Problem, enforce


def test_a_message_has_code_sentence_fix_and_the_promise():
    error = InputError("batch_key='b' is not in obs.", code="no_column", parameter="batch_key", fix="Pass 'batch'.")
    assert str(error) == f"[no_column] batch_key='b' is not in obs. Pass 'batch'. {UNCHANGED}"
    assert (error.code, error.parameter, error.fix) == ("no_column", "batch_key", "Pass 'batch'.")
    assert str(ScsslError("x.")) == f"x. {UNCHANGED}"


def test_errors_are_also_the_builtin_kind():
    for name, kind in {
        "InputError": ValueError, "KeyNotFoundError": KeyError, "NotFittedError": ValueError,
        "TrainingError": RuntimeError, "CheckpointError": OSError, "DownloadError": OSError,
    }.items():  # fmt: skip
        error = getattr(scssl, name)
        assert issubclass(error, ScsslError)
        assert issubclass(error, kind)


def test_a_missing_key_is_a_sentence_not_a_repr():
    assert str(KeyNotFoundError("There is no 'x'.")) == f"There is no 'x'. {UNCHANGED}"


def test_enforce_raises_the_first_error_and_gives_no_warning_then():
    problems = [
        Problem("w", "a", "odd.", severity=WARNING),
        Problem("e", "b", "bad.", missing=True),
        Problem("f", "c", "worse."),
    ]
    with pytest.raises(KeyNotFoundError, match=r"\[e\] bad\."):
        enforce(problems)


def test_enforce_warns_and_returns_the_sentences():
    problems = [Problem("w", "a", "odd.", fix="Do this.", severity=WARNING)]
    with pytest.warns(ScsslWarning, match="odd. Do this.") as caught:
        assert enforce(problems) == ["odd. Do this."]
    assert caught[0].filename == __file__
    assert Problem("e", "b", "bad.").severity == ERROR


def test_a_warning_points_to_the_line_of_the_user():
    with pytest.warns(ScsslWarning) as caught:
        warn("look here")
    assert caught[0].filename == __file__


def test_importing_scssl_is_light_and_has_no_side_effects(tmp_path):
    script = """
        import logging, random, sys, warnings
        import numpy as np
        import pandas
        before = (list(warnings.filters), random.getstate(), np.random.get_state()[1].tolist(), logging.getLogger().handlers[:])
        import scssl
        heavy = {"torch", "scanpy", "matplotlib", "jax", "scvi", "anndata", "mudata", "sklearn", "scipy"} & set(sys.modules)
        assert not heavy, heavy
        after = (list(warnings.filters), random.getstate(), np.random.get_state()[1].tolist(), logging.getLogger().handlers[:])
        assert before == after
        assert not logging.getLogger("scssl").handlers
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
    assert list(tmp_path.iterdir()) == []
