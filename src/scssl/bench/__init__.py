"""The benchmark: plans, the runner, statistics of result rows, the report. Importing it loads none of its parts."""

from __future__ import annotations
