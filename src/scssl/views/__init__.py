"""Views: random changes of cells that keep what they are. Use them by name or as objects."""

from __future__ import annotations

from scssl.views._base import Context, View
from scssl.views.corrupt import CrossOver, Gaussian, InnerSwap, Mask, Replace
from scssl.views.nb_noise import NbNoise
from scssl.views.neighbors import Bbknn, Knn, Mnn, Neighbor
from scssl.views.pipeline import PIPELINES, describe, resolve
from scssl.views.thin import Thin

__all__ = [
    "PIPELINES",
    "Bbknn",
    "Context",
    "CrossOver",
    "Gaussian",
    "InnerSwap",
    "Knn",
    "Mask",
    "Mnn",
    "NbNoise",
    "Neighbor",
    "Replace",
    "Thin",
    "View",
    "describe",
    "resolve",
]
