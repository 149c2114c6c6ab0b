#!/usr/bin/env python
"""The source distribution, and the wheel built from it alone (so that one proves the other), with the environment's own
setuptools: nothing is downloaded. Both are built from copies of what they hold, so that the checkout stays as it is and
several builds may run at once. Their version is `fakeit.__version__`, with or without tags; where a tag names this
commit (v0.3.0), the two must agree.

    python tools/build_dist.py dist
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fakeit import __version__  # noqa: E402

HELD = ("fakeit", "pipelines", "model", "jobs", "conf", "pyproject.toml", "README.md", "LICENSE", "NOTICE.md")
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"


def build(kind: str, folder: Path, source: Path) -> Path:
    """Runs setuptools' `build_sdist` or `build_wheel` in `source`; the file it writes to `folder`."""
    ran = subprocess.run([sys.executable, "-c", BUILD, kind, str(folder)], cwd=source, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{ran.stdout[-2000:]}{ran.stderr[-2000:]}\nerror: {kind} failed; its last words are above")
    return folder / ran.stdout.strip().splitlines()[-1]


def copy(folder: Path) -> Path:
    """What a source distribution is made of, in `folder`; the links inside fakeit/ stay links."""
    folder.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", ".*_cache")
    for name in (name for name in HELD if (ROOT / name).exists()):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=skipped)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def check_tag(root: Path, version: str) -> None:
    """Leaves where git calls this commit by another version than the package does. No git, no tag: nothing to hold."""
    said = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=root, capture_output=True, text=True)
    tags = [tag for tag in said.stdout.split() if re.fullmatch(r"v\d.*", tag)]
    if tags and f"v{version}" not in tags:
        raise SystemExit(f"error: this commit is tagged {tags[0]}, but fakeit/__init__.py says {version}")


def main() -> None:
    check_tag(ROOT, __version__)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dist").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        sdist = build("build_sdist", folder, copy(Path(scratch, "checkout")))
        unpacked = Path(scratch, "unpacked")
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked)
        wheel = build("build_wheel", folder, next(unpacked.iterdir()))
    for made in (sdist, wheel):
        print(f"{os.path.relpath(made)}: {made.stat().st_size / 1e6:.1f} MB")
    print(f"next: pip install {os.path.relpath(wheel)}")


if __name__ == "__main__":
    main()
