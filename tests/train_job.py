"""jobs/train.py as its launchers run it, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
OURS = [PYTHON, "-m", "fakeit.model.distributed.launchers"]  # what `make setup` puts into .venv/bin
HOROVOD = find_spec("horovod") is not None
SEVERAL = "horovod" if HOROVOD else "ddp"  # what trains on several ranks here: the modern set has no Horovod
IF_HOROVOD_IS_QUICK = [pytest.mark.slow] if HOROVOD else []  # DDP's tests are the quick ones where it is alone


def launcher(backend: str, ranks: int) -> list[str]:
    """What stands before a script, for `backend` horovod, ddp or single."""
    if backend == "horovod" and not HOROVOD:
        pytest.skip("Horovod is not part of this environment")
    if backend == "horovod":
        return [*OURS, "horovodrun", "-np", str(ranks), PYTHON]
    if backend == "ddp":
        return [*OURS, "torchrun", "--nproc-per-node", str(ranks), "--standalone"]
    return [PYTHON]


def job(backend: str, ranks: int, dataset: str, output: Path, *options: str) -> list[str]:
    """A run into `output`, with the conf.toml beside that."""
    arguments = ["--config", str(output.parent / "conf.toml"), "--dataset", dataset, "--output", str(output), *options]
    return [*launcher(backend, ranks), str(ROOT / "jobs" / "train.py"), *arguments]


def sets(*options: str) -> list[str]:
    """Each KEY=VALUE as `--set KEY=VALUE`."""
    return [part for option in options for part in ("--set", option)]


def go(
    command: list[str], timeout: float = 150, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)


def losses(folder: Path) -> dict[int, float]:
    """Of a run: step → loss."""
    return {line["step"]: line["loss"] for line in map(json.loads, (folder / "steps.jsonl").read_text().splitlines())}
