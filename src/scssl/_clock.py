"""Time and memory of this process."""

from __future__ import annotations

import contextlib
import datetime
import sys
from pathlib import Path


def now() -> str:
    """The time as ISO text in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()


def peak_mb() -> float:
    """Largest resident memory of this process since the last :func:`reset_peak`, else since its start, in MiB.

    NaN where the system does not say (Windows).
    """
    try:
        import resource
    except ModuleNotFoundError:
        return float("nan")
    if sys.platform == "linux":  # the only number that can be reset
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        if found:
            return int(found[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def reset_peak() -> None:
    """Let :func:`peak_mb` start anew, where the system can (Linux): one process does many jobs."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
