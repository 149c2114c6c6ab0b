"""Which code made a dataset or a face: the commit of this checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path


def code_version() -> str:
    """The commit that this code is at, `+` behind it when files differ; "unknown" outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        git = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"]
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or "unknown"
    except (OSError, subprocess.SubprocessError):
        return "unknown"
