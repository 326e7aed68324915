"""Every check of scssl and every sentence about bad input.

A check is a generator of :class:`Problem`. :func:`scssl.pp.check` lists the problems of all checks at once; functions that
need clean input pass the same checks to :func:`enforce`, which raises the first error and warns about the rest.
"""

from __future__ import annotations

from scssl._validate._problem import ERROR, WARNING, Problem, enforce

__all__ = ["ERROR", "WARNING", "Problem", "enforce"]
