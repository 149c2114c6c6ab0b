"""A small comparison as a user runs it: killed in a training and gone on with; then looked at in MLflow's own pages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny_comparison
from tests.tiny_comparison import ROOT

pytestmark = pytest.mark.slow

GRID = """
name = "tiny"
title = "A tiny comparison"
question = "Does it run?"
conf = "base.toml"
seeds = [1]
[budget]
epochs = 40
[[axes]]
name = "images"
key = "data.images"
values = [10, 20]
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """A folder with a comparison that was killed and ended, its environment, and what the second run printed."""
    folder = tmp_path_factory.mktemp("comparison")
    tiny_comparison.write_files(folder, GRID)
    environment, command = tiny_comparison.environment(folder / "mlflow.db"), tiny_comparison.command(folder, "out")
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             start_new_session=True)  # fmt: skip
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and not list(folder.glob("out/tiny/cells/10*/run/checkpoints/step*.pt")):
        assert first.poll() is None, first.stdout.read().decode() if first.stdout else ""
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    for line in subprocess.run(["pgrep", "-f", str(folder / "out")], capture_output=True, text=True).stdout.split():
        os.kill(int(line), signal.SIGKILL)  # trainings live in groups of their own
    assert not list(folder.glob("out/tiny/cells/*/result.json"))
    second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert second.returncode == 0, second.stdout + second.stderr
    return folder, environment, second.stdout


def test_a_killed_cell_goes_on(compared: tuple[Path, dict[str, str], str]) -> None:
    folder, _, _ = compared
    results = sorted(folder.glob("out/tiny/cells/*/result.json"))
    assert len(results) == 2
    log = (results[0].parent / "train.log").read_text()
    assert "resum" in log.lower() or "goes on" in log.lower(), log


@pytest.fixture
def ui(compared: tuple[Path, dict[str, str], str]) -> Iterator[str]:
    folder, environment, _ = compared
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    command = [mlflow, "ui", "--backend-store-uri", environment["MLFLOW_TRACKING_URI"], "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=folder, env=environment, **quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def test_mlflow_shows_the_comparison_in_a_browser(
    ui: str, compared: tuple[Path, dict[str, str], str], tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium): MLflow's pages were not looked at")
    import mlflow

    client = mlflow.MlflowClient(compared[1]["MLFLOW_TRACKING_URI"])
    experiment = next(e for e in client.search_experiments() if e.name != "Default")
    runs = client.search_runs([experiment.experiment_id], "tags.comparison = 'tiny'")
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(children) == 2
    chosen = json.dumps([run.info.run_id for run in children])
    page = f'{ui}/#/compare-runs?runs={chosen}&experiments=["{experiment.experiment_id}"]'
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--window-size=1400,1600",
             f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=30000"]  # fmt: skip
    shown = subprocess.run([browser, *flags, "--dump-dom", page], capture_output=True, text=True, timeout=180).stdout
    for run in children:
        assert run.info.run_name in shown
    assert "Parallel Coordinates" in shown and "final_test_nme" in shown
