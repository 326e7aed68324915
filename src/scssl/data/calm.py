"""mudata without its side effects."""

from __future__ import annotations

import random
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


@contextmanager
def calm() -> Iterator[None]:
    """Make, copy or read a MuData so that only this happens.

    mudata pulls columns of the modalities up (0.3 unless told not to, and with a warning; later ones if told to) and
    draws names of temporary columns from Python's global generator, which belongs to the user. That features of two
    modalities have the same name, as genes and their proteins often do, changes nothing for us: nothing here looks
    features up across modalities.
    """
    state = random.getstate()
    try:
        with _columns_stay(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "var_names are not unique", UserWarning)
            yield
    finally:
        random.setstate(state)


def _columns_stay() -> AbstractContextManager[object]:
    """Inside the block no column is pulled up; the settings of mudata have another name since 0.4."""
    import mudata

    if hasattr(mudata, "set_options"):
        return mudata.set_options(pull_on_update=False)
    return mudata.settings.override(pull_on_update=False)
