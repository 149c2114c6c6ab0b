"""A comparison of LeNets on a tiny dataset, as a user runs it: its files, the command, the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.tiny_dataset import make_dataset

ROOT = Path(__file__).resolve().parent.parent
BASE = """
[network]
name = "lenet"
[data]
batch_size = 8
[optimiser]
name = "adamw"
lr = 1e-3
[train]
epochs = 2
monitor = "nme"
precision = "float32"
"""


def write_files(folder: Path, grid: str) -> None:
    """Dataset, training conf and grid in `folder`."""
    make_dataset(folder / "data", train=(10, 11), val=(9,), test=(8,), size=32)
    (folder / "base.toml").write_text(BASE)
    (folder / "grid.toml").write_text(grid)


def command(folder: Path, output: str) -> list[str]:
    """jobs/compare.py, to be run in ROOT, into `folder`/`output`."""
    compare = [sys.executable, "jobs/compare.py", "--config", str(folder / "grid.toml"), "--dataset"]
    return [*compare, str(folder / "data"), "--output", str(folder / output)]


def environment(store: Path) -> dict[str, str]:
    """This one's, with MLflow's store in the file `store`."""
    return {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store}", "OMP_NUM_THREADS": "1"}
