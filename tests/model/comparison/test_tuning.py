"""Optuna's studies as a user runs them: trials of one search, gone on with later, and what the report says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_comparison
from tests.tiny_comparison import ROOT

pytestmark = pytest.mark.slow

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
    command = [*tiny_comparison.command(folder, output), *more]
    environment = tiny_comparison.environment(folder / f"{output}.db")
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows: list[dict[str, Any]] = json.loads((folder / output / "tiny/trials.json").read_text())
    return sorted(rows, key=lambda row: row["number"])


def test_a_study_that_goes_on_draws_what_an_unbroken_one_does(tmp_path: Path) -> None:
    tiny_comparison.write_files(tmp_path, GRID)
    unbroken = search(tmp_path, "unbroken")
    assert len(search(tmp_path, "broken", "--set", "search.trials=2")) == 2
    broken = search(tmp_path, "broken")
    assert [row["params"] for row in broken] == [row["params"] for row in unbroken]
    assert len({json.dumps(row["params"]) for row in broken}) == 4
    assert {row["state"] for row in broken} <= {"COMPLETE", "PRUNED"}
    report = [sys.executable, "jobs/report.py", "--comparison", "tiny", "--comparisons", str(tmp_path / "broken")]
    subprocess.run([*report, "--output", str(tmp_path / "page")], cwd=ROOT, check=True, timeout=200)
    assert "## Trials" in (tmp_path / "page/report.md").read_text()
