"""mudata without its side effects."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def calm() -> Iterator[None]:
    """Make or copy a MuData so that only this happens.

    mudata 0.3 pulls columns of the modalities up, warns about it, and draws names of temporary columns from Python's
    global generator, which belongs to the user.
    """
    import mudata

    state = random.getstate()
    try:
        with mudata.set_options(pull_on_update=False):
            yield
    finally:
        random.setstate(state)
