"""Optuna's studies as a user runs them: trials of one search, gone on with later, and what the report says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_dataset import make_dataset

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow

BASE = """
[network]
name = "lenet"
[data]
batch_size = 8
[optimiser]
name = "adamw"
[train]
best_by = "nme"
"""
GRID = """
name = "tiny"
title = "A tiny search"
question = "Does it search?"
conf = "base.toml"
seeds = [1]
axes = []
[budget]
epochs = 2
[search]
trials = 4
warmup = 1
startup = 2
space = [
    { key = "optimiser.lr", low = 1e-4, high = 1e-2, log = true },
    { key = "network.dropout", choices = [0.0, 0.2] },
]
"""


def search(folder: Path, output: str, *more: str) -> list[dict[str, Any]]:
    """Runs the comparison; its trials by number."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/{output}.db", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "jobs/compare.py", "--config", str(folder / "grid.toml"), "--dataset"]
    command += [str(folder / "data"), "--output", str(folder / output), *more]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows: list[dict[str, Any]] = json.loads((folder / output / "tiny/trials.json").read_text())
    return sorted(rows, key=lambda row: row["number"])


def test_a_study_that_goes_on_draws_what_an_unbroken_one_does(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", train=(10, 11), val=(9,), test=(8,), size=32)
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "grid.toml").write_text(GRID)
    unbroken = search(tmp_path, "unbroken")
    assert len(search(tmp_path, "broken", "--set", "search.trials=2")) == 2
    broken = search(tmp_path, "broken")
    assert [row["params"] for row in broken] == [row["params"] for row in unbroken]
    assert len({json.dumps(row["params"]) for row in broken}) == 4
    assert {row["state"] for row in broken} <= {"COMPLETE", "PRUNED"}
    report = [sys.executable, "jobs/report.py", "--comparison", "tiny", "--comparisons", str(tmp_path / "broken")]
    subprocess.run([*report, "--output", str(tmp_path / "page")], cwd=ROOT, check=True, timeout=200)
    assert "## Trials" in (tmp_path / "page/report.md").read_text()
