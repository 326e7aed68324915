"""Questions that embeddings answer: each task scores an embedding against its own controls, without torch.

Adding a task is adding a file with a class marked by ``@TASKS.register``; file name = task name.
"""

from __future__ import annotations

from scssl.tasks._base import CONTROL_WIDTH, Score, Task
from scssl.tasks._cells import Cells
from scssl.tasks._score import applicable, control_rows, refused_rows, score_rows

__all__ = ["CONTROL_WIDTH", "Cells", "Score", "Task", "applicable", "control_rows", "refused_rows", "score_rows"]
