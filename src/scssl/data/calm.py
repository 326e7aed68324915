"""mudata without its side effects."""

from __future__ import annotations

import random
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def calm() -> Iterator[None]:
    """Make, copy or read a MuData so that only this happens.

    mudata 0.3 pulls columns of the modalities up, warns about it, and draws names of temporary columns from Python's
    global generator, which belongs to the user. That features of two modalities have the same name, as genes and their
    proteins often do, changes nothing for us: nothing here looks features up across modalities.
    """
    import mudata

    state = random.getstate()
    try:
        with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "var_names are not unique", UserWarning)
            yield
    finally:
        random.setstate(state)
