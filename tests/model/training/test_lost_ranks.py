"""A rank that is killed, fails or hangs: one line that names it, within a minute, and no process is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tiny_dataset import make_dataset
from train_job import ROOT, launcher

from fakeit.model.distributed.communicator import CommConfig, Single
from fakeit.model.distributed.failures import Peer, is_lost_connection, told
from fakeit.pipelines.errors import FakeitError

JOB = """
import os, signal, sys
from fakeit.jobs.train import work
from fakeit.model.distributed.communicator import CommConfig
from fakeit.model.networks import NetworkConfig
from fakeit.model.tracking.mlflow_tracker import TrackingConfig
from fakeit.model.training import trainer
from fakeit.model.training.config import LoopConfig, TrainConfig
from fakeit.pipelines.errors import FakeitError

folder, how = sys.argv[1], sys.argv[2]
after = trainer.Trainer._after_step

def dying(self, loop, report, epoch, steps):
    after(self, loop, report, epoch, steps)
    if report.step == 6 and self.comm.rank == 1 and how != "never":
        if how == "fails":
            raise MemoryError("no room for another face")
        if how == "complains":
            raise FakeitError("shard 7 of this machine is gone")
        os.kill(os.getpid(), signal.SIGKILL if how == "is killed" else signal.SIGSTOP)

trainer.Trainer._after_step = dying
config = TrainConfig(NetworkConfig(name="lenet"), train=LoopConfig(epochs=500, checkpoint_minutes=0.0),
                     comm=CommConfig(timeout_s=5), tracking=TrackingConfig(uri=""))
options = {"dataset": f"{folder}/set", "output": f"{folder}/run", "resume": False, "init": None, "launcher": "none"}
raise SystemExit(work(config, options))
"""
TOLD = {
    "is killed": r"error: rank 1 \(process \d+ on \S+\) was killed or crashed without a word .*so rank 0 ended too",
    "fails": r"error: rank 1 \(process \d+ on \S+\): MemoryError: no room for another face \(all .*rank-1.txt\)",
    "complains": r"error: shard 7 of this machine is gone",
    "hangs": r"error: rank 0 had no answer from rank 1 \(process \d+ on \S+\): one is stuck",
}


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("how", TOLD)
@pytest.mark.parametrize("backend", ["ddp", "horovod"])
def test_one_line_names_the_rank_and_none_is_left(backend: str, how: str, tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", train=(13, 12), val=(9,))
    (tmp_path / "job.py").write_text(JOB)
    command = [*launcher(backend, 2), str(tmp_path / "job.py"), str(tmp_path), how]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run" / "checkpoints").glob("step-*5.pt")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    begun, below = time.monotonic(), psutil.Process(process.pid).children(recursive=True)
    said, _ = process.communicate(timeout=120)
    assert time.monotonic() - begun < 60 and process.returncode != 0
    lines = [line.partition("error: ")[2] for line in said.splitlines() if "error: " in line and "E1" not in line[:3]]
    told_ = [line for line in lines if line and "Horovod background" not in line]
    assert len(told_) == 1, said
    assert re.search(TOLD[how], f"error: {told_[0]}"), told_
    assert "[rank0]: Traceback" not in said
    assert not psutil.wait_procs(below, timeout=20)[1], "some are left"
    if how == "fails":
        assert "Traceback" in (tmp_path / "run" / "errors" / "rank-1.txt").read_text()


@pytest.mark.fault
@pytest.mark.slow
def test_ranks_whose_torchrun_was_killed_leave_a_checkpoint_and_end(tmp_path: Path) -> None:
    make_dataset(tmp_path / "set", train=(13, 12), val=(9,))
    (tmp_path / "job.py").write_text(JOB)
    command = [*launcher("ddp", 2), str(tmp_path / "job.py"), str(tmp_path), "never"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run" / "checkpoints").glob("step-*5.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert len(below) >= 2 and not psutil.wait_procs(below, timeout=40)[1], "orphans train on"


def test_an_error_of_the_connection_is_told_from_one_s_own() -> None:
    reset = "[/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:6570: Connection reset by peer"
    assert is_lost_connection(RuntimeError(reset))
    assert is_lost_connection(type("HorovodInternalError", (RuntimeError,), {})("x"))
    assert not is_lost_connection(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_lost_connection(FakeitError("connection reset by peer, says the shard's store"))


def test_a_process_that_ended_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    peer = Peer(1, "here", child.pid)
    assert not peer.gone
    assert child.stdin is not None
    child.stdin.close()
    time.sleep(0.1)
    deadline = time.monotonic() + 20
    while not peer.gone:  # a zombie, since nobody has waited for it
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.wait(10)
    assert peer.gone


def test_a_run_alone_raises_as_ever(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), told(Single(), tmp_path):
        raise MemoryError
    with pytest.raises(FakeitError, match="comm.timeout_s is 0"):
        CommConfig(timeout_s=0)
