"""Figures of result rows, embeddings and training. Everything works on a CSV that is read back years later."""

from __future__ import annotations

from scssl.pl._ablation import ablation
from scssl.pl._benchmark import benchmark
from scssl.pl._confusion import confusion
from scssl.pl._embedding import embedding
from scssl.pl._ranks import ranks
from scssl.pl._tradeoff import tradeoff
from scssl.pl._training import history
from scssl.pl._views import views

__all__ = ["ablation", "benchmark", "confusion", "embedding", "history", "ranks", "tradeoff", "views"]
