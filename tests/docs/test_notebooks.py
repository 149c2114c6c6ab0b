"""The notebooks run: their code cells, in order, in one process of their own, as Jupyter would run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def code(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_light_and_compiles(notebook: Path) -> None:
    read = json.loads(notebook.read_text())
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in read["cells"])
    assert read["cells"][0]["cell_type"] == "markdown" and read["cells"][0]["source"][0].startswith("# ")
    for number, text in enumerate(code(notebook)):
        compile(text, f"{notebook.name}, code cell {number + 1}", "exec")


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute and a half on two free cores; machines that test are seldom free
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    # What it writes goes to a folder of the test's: the notebooks name it in one place, as build/notebooks.
    script = "\n\n".join(code(notebook)).replace('"build/notebooks', f'"{tmp_path}')
    variables = {**os.environ, "MPLBACKEND": "Agg", "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=notebook.parent, env=variables, capture_output=True, text=True, timeout=880
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
