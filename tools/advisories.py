#!/usr/bin/env python
"""Every pinned package with its version, for a checker of known holes; and those that are known, and why they stay.

    python tools/advisories.py               NAME==VERSION a line, of all locks, as pip-audit -r reads them
    python tools/advisories.py --cyclonedx   the same as a CycloneDX list, which most checkers read
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# (package, version) → why its known hole cannot be reached. tests/test_locks.py asks again when the version changes.
UNREACHABLE = {
    ("opencv-python-headless", "4.11.0.86"): "CVE-2025-53644, a crafted JPEG in OpenCV's own decoder: JPEGs go to "
    "simplejpeg (pipelines/files/image_io.py), a dataset's PNG column holds nothing else, videos are FFmpeg's alone",
    ("diskcache", "5.6.3"): "CVE-2025-69872, values are unpickled from a cache folder: only Petastorm's local disk "
    "cache uses it, which is never asked for",
    ("future", "1.0.0"): "CVE-2025-50817, `import test` from the working directory: only where its import hooks "
    "are installed, which nothing here does; petastorm uses future.utils alone",
    ("horovod", "0.28.1"): "CVE-2024-10190, elastic mode unpickles what it is sent: refused by the launchers "
    "(model/distributed/launchers.py)",
    ("petastorm", "0.12.1"): "a dataset's pickled schema passes its filter: it is never handed to it "
    "(model/data/petastorm_reader.py)",
}  # fmt: skip


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """Package → version, of every lock."""
    found = {}
    for lock in sorted(ROOT.glob("requirements*.lock")):
        for line in lock.read_text().splitlines():
            if "==" in line and not line.startswith("#"):
                name, version = line.split(" ")[0].split("==")
                found[normal(name)] = version.split("+")[0]  # a build of the same release
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cyclonedx", action="store_true")
    packages = pinned()
    if parser.parse_args().cyclonedx:
        parts = [
            {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
            for name, version in packages.items()
        ]
        bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": parts}
        json.dump(bill, sys.stdout, indent=1)
        return
    print(*(f"{name}=={version}" for name, version in packages.items()), sep="\n")


if __name__ == "__main__":
    main()
