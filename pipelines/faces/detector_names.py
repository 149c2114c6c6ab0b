"""The detectors by name, for whoever only speaks of them: a job's `--help` loads neither OpenCV nor a network."""

from __future__ import annotations

NAMES = ("yunet", "mtcnn", "haar")
DEFAULT = NAMES[0]
KNOWN = f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
