"""Which code made a dataset or a face: the commit of this checkout, or the version of a release."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fakeit import __version__


def code_version() -> str:
    """The commit that this code is at, `+` behind it when files differ; outside a checkout the package's version."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():  # a wheel below somebody else's checkout is not at that one's commit
        return __version__
    try:
        git = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"]
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or __version__
    except (OSError, subprocess.SubprocessError):
        return __version__
