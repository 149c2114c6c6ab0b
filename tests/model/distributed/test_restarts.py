"""A rank is killed and torchrun starts the others again: training goes on, and every step is there once."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from tiny_dataset import make_dataset
from train_job import OURS, ROOT, losses

from fakeit.model.distributed import restarts
from fakeit.model.distributed.communicator import Single
from fakeit.pipelines.errors import FakeitError
from tests.pipelines.machine.test_cluster import free_port

JOB = """
import os, signal, sys
from fakeit.jobs.train import work
from fakeit.model.distributed.communicator import CommConfig
from fakeit.model.networks import NetworkConfig
from fakeit.model.tracking.mlflow_tracker import TrackingConfig
from fakeit.model.training import trainer
from fakeit.model.training.config import LoopConfig, TrainConfig
from fakeit.model.data.config import DataConfig

folder, run, how = sys.argv[1:4]
after = trainer.Trainer._after_step

def dying(self, loop, report, epoch, steps):
    after(self, loop, report, epoch, steps)
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if first and report.step == 5 and how == "rank" and self.comm.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if report.step == 5 and how == "node":
        assert self.comm.size == 2
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

trainer.Trainer._after_step = dying
config = TrainConfig(NetworkConfig(name="lenet"), train=LoopConfig(epochs=3, checkpoint_minutes=0.0, threads=1),
                     data=DataConfig(batch_size=8), comm=CommConfig(timeout_s=120), tracking=TrackingConfig(uri=""))
options = {"dataset": f"{folder}/set", "output": f"{folder}/{run}", "resume": False, "init": None, "launcher": "none"}
raise SystemExit(work(config, options))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "set", train=(13, 12), val=(9,))
    (tmp_path / "job.py").write_text(JOB)
    return tmp_path


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [*OURS, "torchrun", *options[:-2], str(folder / "job.py"), str(folder), *options[-2:]]
    interface = {"GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **interface}
    )


def wait_for_listener(port: int) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"nobody listens at {port}")


def once(run: Path) -> dict[int, float]:
    """The run's losses; every step of three epochs of four batches stands there once."""
    steps = [json.loads(line)["step"] for line in (run / "steps.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 13))
    return losses(run)


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_ranks_of_one_machine_are_started_again_and_train_as_if_nothing_had_been(folder: Path) -> None:
    said = {}
    for how in ("nobody", "rank"):
        process = start(folder, "--nproc-per-node", "2", "--standalone", "--max-restarts", "2", how, how)
        said[how], _ = process.communicate(timeout=900)
        assert process.returncode == 0, said[how][-3000:]
    assert "a rank was lost" not in said["nobody"]
    assert re.search(r"a rank was lost: start 2, 2 of 2 ranks go on from the newest checkpoint", said["rank"])
    assert re.search(r"resumed at step [45]: epoch [12]", said["rank"])
    calm, disturbed = once(folder / "nobody"), once(folder / "rank")
    assert disturbed == pytest.approx(calm, rel=1e-5)


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_training_goes_on_with_the_rest_when_a_machine_is_lost(folder: Path) -> None:
    """Two agents of one rank each, as on two machines; the second dies with its rank."""
    port = free_port()
    meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test"]
    patience = ["--rdzv-conf", "last_call_timeout=60", "--local-addr", "127.0.0.1", "--max-restarts", "2"]
    options = ["--nnodes", "1:2", "--nproc-per-node", "1", *meet, *patience, "run"]
    first = start(folder, *options, "nobody")
    wait_for_listener(port)  # on two machines the endpoint's is the first; here it is whoever comes first
    second = start(folder, *options, "node")
    try:
        said, _ = first.communicate(timeout=900)
    finally:
        for process in (first, second):
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
                child.kill()
            process.kill()
    assert first.returncode == 0, said[-3000:]
    assert second.wait(10) == -signal.SIGKILL, second.stdout and second.stdout.read()[-3000:]
    assert re.search(r"a rank was lost: start \d, 1 of 2 ranks go on from the newest checkpoint", said), said[-3000:]
    once(folder / "run")


def test_ranks_that_may_be_started_again_need_a_folder_to_go_on_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    restarts.check_output(None)
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    with pytest.raises(FakeitError, match="needs --output"):
        restarts.check_output(None)
    restarts.check_output("runs/x")
    assert not restarts.goes_on(Single(), tmp_path / "run", False) and not capsys.readouterr().out
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not restarts.goes_on(Single(), tmp_path / "run", False)
    assert "start 2, 1 of 1 ranks go on from the beginning" in capsys.readouterr().out
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / "step-00000004.pt").touch()
    assert restarts.goes_on(Single(), tmp_path / "run", False)


def test_a_run_that_was_refused_is_not_gone_on_with_when_the_ranks_are_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The refusal ended the ranks, torchrun started them again, and they trained on what they had refused."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-00000004.pt").touch()
    (tmp_path / restarts.RANKS).write_text("2")  # of the launch that made it
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    for count in ("0", "1", "2"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        assert not restarts.goes_on(Single(), tmp_path, resume=False) and not capsys.readouterr().out
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert not restarts.goes_on(Single(), tmp_path, resume=True), "what was said is enough"
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert restarts.goes_on(Single(), tmp_path, resume=True)
    assert "start 2, 1 of 1 ranks go on from the newest checkpoint" in capsys.readouterr().out
