#!/usr/bin/env python
"""Writes beside every pin of a lock the SHA-256 of the files that may be installed for it.

    python tools/lock_hashes.py requirements.lock [--from OLD.lock]

pip is asked which files it would take on Linux, x86-64 and aarch64; nothing is installed. A pin that has hashes keeps
them, and with `--from` takes those of the same pin there, so that only new pins are asked for. A package that one of
the two machines has no wheel for gets the other's hash alone: there `make setup` says so instead of building something
that nobody looked at. `pip install --require-hashes` then takes a file from whatever index it is told, and refuses any
that is not byte for byte one of these.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ARM = [f"manylinux_2_{version}_aarch64" for version in (28, 27, 17)] + ["manylinux2014_aarch64"]
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pin(line: str) -> str:
    """`name==version` of a lock's line, "" for a comment."""
    return "" if line.startswith("#") else line.split(" ")[0].strip()


def hashes(text: str) -> dict[str, list[str]]:
    """Pin → its `--hash=…` options."""
    return {pin(line): _HASH.findall(line) for line in text.splitlines() if pin(line)}


def ask(pins: list[str], *options: str) -> dict[str, str]:
    """Pin → the `--hash` of the file that pip would take."""
    with tempfile.TemporaryDirectory() as folder:
        report, wanted = Path(folder, "report.json"), Path(folder, "pins.txt")
        wanted.write_text("\n".join(pins))
        command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", "--no-deps"]
        command += ["--report", str(report), *options, "-r", str(wanted)]
        if subprocess.run(command, capture_output=True).returncode:
            return {} if len(pins) == 1 else {k: v for one in pins for k, v in ask([one], *options).items()}
        found = json.loads(report.read_text())["install"]
    normal = {re.sub(r"[-_.]+", "-", name.split("==")[0]).lower(): name for name in pins}
    return {
        normal[re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower()]: "--hash=sha256:"
        + one["download_info"]["archive_info"]["hashes"]["sha256"]
        for one in found
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--from", dest="old", type=Path, help="a lock whose hashes are taken over for the same pins")
    arguments = parser.parse_args()
    known = hashes(arguments.old.read_text()) if arguments.old else {}
    lines = arguments.lock.read_text().splitlines()
    own = hashes(arguments.lock.read_text())
    new = [name for name in own if not own[name] and not known.get(name)]
    asked: list[dict[str, str]] = []
    if new:
        arm = [word for platform in ARM for word in ("--platform", platform)]
        target = ["--python-version", "3.11", "--only-binary=:all:", "--target", tempfile.gettempdir() + "/nowhere"]
        asked = [ask(new), ask(new, *arm, *target)]
    made = []
    for line in lines:
        name = pin(line)
        options = own.get(name) or known.get(name) or sorted({found[name] for found in asked if name in found})
        if name and not options:
            raise SystemExit(f"error: {arguments.lock}: no file for {name} at any index")
        made.append(" ".join([name, *options]) if name else line)
    arguments.lock.write_text("\n".join(made) + "\n")
    print(f"{arguments.lock}: {len(own)} pins, {len(new)} of them asked for")


if __name__ == "__main__":
    main()
