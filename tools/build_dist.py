#!/usr/bin/env python
"""The source distribution, and the wheel built from it alone (so that one proves the other), with the environment's own
setuptools: nothing is downloaded.

    python tools/build_dist.py dist
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"


def build(kind: str, folder: Path, source: Path) -> Path:
    """Runs setuptools' `build_sdist` or `build_wheel` in `source`; the file it writes to `folder`."""
    ran = subprocess.run([sys.executable, "-c", BUILD, kind, str(folder)], cwd=source, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{ran.stdout[-2000:]}{ran.stderr[-2000:]}\nerror: {kind} failed; its last words are above")
    return folder / ran.stdout.strip().splitlines()[-1]


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dist").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.rmtree(ROOT / "fakeit.egg-info", ignore_errors=True)  # an older list of files
        sdist = build("build_sdist", folder, ROOT)
        shutil.rmtree(ROOT / "fakeit.egg-info", ignore_errors=True)  # else a second "installed" fakeit, in this folder
        with tarfile.open(sdist) as archive:
            archive.extractall(scratch)
        wheel = build("build_wheel", folder, next(Path(scratch).iterdir()))
    for made in (sdist, wheel):
        print(f"{os.path.relpath(made)}: {made.stat().st_size / 1e6:.1f} MB")
    print(f"next: pip install {os.path.relpath(wheel)}")


if __name__ == "__main__":
    main()
