"""Scores of embeddings and predictions: functions on arrays, without torch and anndata.

Adding a metric is writing one function and marking it with ``@METRICS.register``. Its parameters are the names in
``needs``: what a task hands over (``embedding``, ``labels``, ``batch``, ``before``, ``truth``, ``predicted`` ...), or
what :class:`~scssl.metrics._base.Inputs` derives from that once for all metrics (``neighbors``, ``leiden`` ...).
"""

from __future__ import annotations

from scssl.metrics._base import Inputs, Measured, NotApplicable, measure
from scssl.metrics._collapse import collapsed, effective_rank

__all__ = ["Inputs", "Measured", "NotApplicable", "collapsed", "effective_rank", "measure"]
