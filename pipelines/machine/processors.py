"""The processors that a process may use, and keeping it to some of them: where the system has no such calls (macOS)
a process may use them all, and nothing keeps it."""

from __future__ import annotations

import os
from collections.abc import Iterable


def allowed(process: int = 0) -> set[int]:
    """The numbers of those that a process may use; 0 is this one. Raises OSError: another user's, or gone."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(process))
    return set(range(os.cpu_count() or 1))


def can_bind() -> bool:
    """Whether the system keeps a process to some of its processors."""
    return hasattr(os, "sched_setaffinity")


def bind(process: int, processors: Iterable[int]) -> None:
    """Keeps a process to some processors where the system can; 0 is this one. Raises OSError as `allowed`."""
    if can_bind():
        os.sched_setaffinity(process, processors)
