"""Independent parts of one metric, done side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def side_by_side() -> Iterator[Callable[..., Iterable[Any]]]:
    """A ``map`` by as many threads as a matrix product would use; what a thread calls has one for itself.

    Many small products and searches with all threads each would wait for each other longer than they work. Results come
    in the order of the parts: what is made of them is the same to the last bit with any number of threads.
    """
    from threadpoolctl import ThreadpoolController

    pools = ThreadpoolController()  # looks at all loaded libraries: once, not in every thread
    n = max((pool["num_threads"] for pool in pools.info() if pool["user_api"] == "blas"), default=1)
    with pools.limit(limits=1):
        if n == 1:
            yield map
            return
        # the limit of OpenMP is that of the thread that sets it
        with ThreadPoolExecutor(n, initializer=partial(pools.limit, limits=1)) as pool:
            yield pool.map
