"""What a process has held at most, for tests and benchmarks: the system's count, in which macOS says bytes."""

from __future__ import annotations

import resource
import sys

_UNIT = 1 if sys.platform == "darwin" else 1024


def peak_memory() -> int:
    """Bytes that this process has held in memory at most since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
