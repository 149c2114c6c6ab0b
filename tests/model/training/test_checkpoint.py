"""Checkpoints: whole or not at all, damage is known, the last K and the best are kept, and no code runs on loading."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakeit.model.networks import NetworkConfig, build
from fakeit.model.training import checkpoint
from fakeit.model.training.background import BackgroundSaver
from fakeit.model.training.checkpoint import BEST, Checkpoint, CheckpointManager, Position, load
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig

ROOT = Path(__file__).resolve().parents[3]


def a_checkpoint(step: int = 1) -> Checkpoint:
    torch.manual_seed(step)
    network = build(NetworkConfig(name="lenet"), 5, 3, 32)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).points.sum().backward()
    optimiser.step()
    return Checkpoint(
        network.config, CropConfig(size=32), "five", network.state_dict(), None, optimiser.state_dict(),
        Position(0, 2, 34, step), {"history": [{"train_loss": 0.5}]}, {"data": {"batch_size": 8}}, {"digest": "abc"},
        "run", {"val_nme": 0.1},
    )  # fmt: skip


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = a_checkpoint()
    CheckpointManager(tmp_path).save(saved, best=True)
    found = load(tmp_path / BEST)
    assert found.position == saved.position and found.crop == saved.crop and found.network == saved.network
    assert found.progress == saved.progress and found.metrics == saved.metrics and found.run_id == "run"
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    network = build(NetworkConfig(name="lenet"), 5, 3, 32).eval()
    network.load_state_dict(saved.weights)
    with torch.no_grad():
        assert torch.equal(found.build()(images).points, network(images).points)


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = CheckpointManager(tmp_path, keep=2)
    for step in range(1, 6):
        assert checkpoints.save(a_checkpoint(step), best=step == 2) is None
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == [BEST, "step-000000004.pt", "step-000000005.pt"]
    assert load(tmp_path / BEST).position.step == 2
    assert checkpoints.latest()[0].position.step == 5


@pytest.mark.fault
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, damage: str) -> None:
    checkpoints = CheckpointManager(tmp_path)
    for step in (1, 2):
        checkpoints.save(a_checkpoint(step))
    path = tmp_path / "step-000000002.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes({"truncated": data[:-500], "flipped": data, "empty": b""}[damage])
    found, problems = checkpoints.latest()
    assert found.position.step == 1
    assert len(problems) == 1 and "step-000000002.pt is damaged" in problems[0]


@pytest.mark.fault
def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = CheckpointManager(tmp_path)
    checkpoints.save(a_checkpoint(1), best=True)

    @contextmanager
    def full(location: str) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), location)
        yield

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    problem = checkpoints.save(a_checkpoint(2), best=True)
    assert problem is not None and "No space left" in problem
    assert checkpoints.latest()[0].position.step == 1 and load(tmp_path / BEST).position.step == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "damaged or no checkpoint: its 4 bytes are not whole"),
        (b"", "damaged or no checkpoint: it is empty"),
        ({"fakeit_checkpoint": 1}, "'network' is to be a table, found nothing"),
        ({"fakeit_checkpoint": 1, "network": [1]}, "'network' is to be a table, found list"),
        (None, "does not exist"),
        ({"weights": 1}, "format None"),
        ([1], "format 'list'"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "x.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(FakeitError, match=message):
        load(path)
    exported = tmp_path / "x.onnx"
    exported.touch()
    with pytest.raises(FakeitError, match=r"an exported network; name the checkpoint it came from, as in best.pt"):
        load(exported)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"fakeit_checkpoint": 1, "weights": Evil()}, tmp_path / "x.pt")
    with pytest.raises(FakeitError, match="could run code") as said:
        load(tmp_path / "x.pt")
    assert "weights_only" not in str(said.value) and "torch.serialization" not in str(said.value)
    assert not (tmp_path / "ran").exists()


def test_a_tool_runs_no_code_of_a_checkpoint_either(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"weights": Evil(), "ema": {}}, tmp_path / "x.pt")
    np.savez(tmp_path / "head.npz", V0=np.random.default_rng(1).normal(size=(70, 3)), LM=np.arange(70))
    tool = Path(__file__).resolve().parents[3] / "tools" / "move_points.py"
    files = [tmp_path / "x.pt", "--head-file", tmp_path / "head.npz", "--output", tmp_path / "y.pt"]
    done = subprocess.run([sys.executable, tool, *files], capture_output=True, text=True, timeout=60)
    assert not (tmp_path / "ran").exists()
    assert done.returncode == 1 and done.stderr.startswith("error: checkpoint") and "could run code" in done.stderr


def test_a_cut_checkpoint_is_answered_in_our_words(tmp_path: Path) -> None:
    whole = checkpoint.dump(a_checkpoint(1))
    for share in (0.1, 0.5, 0.999):
        (tmp_path / "x.pt").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(FakeitError, match="are not whole.* take the checkpoint before it") as said:
            load(tmp_path / "x.pt")
        assert "weights_only" not in str(said.value)


def test_an_empty_folder_has_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FakeitError, match="no checkpoint to resume from"):
        CheckpointManager(tmp_path).latest()


@pytest.mark.fault
@pytest.mark.parametrize("keep", [1, 2, 3])
def test_a_new_one_outlives_a_damaged_one_of_a_later_step(tmp_path: Path, keep: int) -> None:
    """With keep = 1 the damaged file was kept as the newest, and the new one deleted at once."""
    checkpoints = CheckpointManager(tmp_path, keep)
    for step in (1, 9):
        CheckpointManager(tmp_path, 3).save(a_checkpoint(step))
    (tmp_path / "step-000000009.pt").write_bytes(b"damaged")
    assert checkpoints.latest()[0].position.step == 1
    assert checkpoints.save(a_checkpoint(2)) is None
    assert checkpoints.latest()[0].position.step == 2 and checkpoints.latest()[1] == []
    assert not (tmp_path / "step-000000009.pt").exists()


@pytest.mark.fault
def test_the_best_one_serves_where_the_last_one_is_damaged(tmp_path: Path) -> None:
    checkpoints = CheckpointManager(tmp_path, keep=1)
    checkpoints.save(a_checkpoint(1), best=True)
    checkpoints.save(a_checkpoint(2))
    (tmp_path / "step-000000002.pt").write_bytes(b"damaged")
    found, problems = checkpoints.latest()
    assert found.position.step == 1 and len(problems) == 1


def test_float16_s_scale_is_kept(tmp_path: Path) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    saved = replace(a_checkpoint(), scaler=scaler.state_dict())
    CheckpointManager(tmp_path).save(saved)
    again = torch.amp.GradScaler("cpu")
    state = CheckpointManager(tmp_path).latest()[0].scaler
    assert state is not None
    again.load_state_dict(state)
    assert again.get_scale() == 512.0


def test_saving_holds_nobody_up_and_keeps_what_stood_at_its_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, held = checkpoint.write_atomically, threading.Event()

    @contextmanager
    def slow(location: str) -> Any:
        held.wait(30)
        with write(location) as file:
            yield file

    monkeypatch.setattr(checkpoint, "write_atomically", slow)
    saver, saved = BackgroundSaver(CheckpointManager(tmp_path)), a_checkpoint()
    before = saved.weights["head.linear.weight"].clone()
    assert saver.save(saved) is None
    assert not list(tmp_path.glob("*.pt"))
    saved.weights["head.linear.weight"].zero_()  # training goes on, in place
    held.set()
    assert saver.wait() is None and saver.wait() is None
    assert torch.equal(CheckpointManager(tmp_path).latest()[0].weights["head.linear.weight"], before)


@pytest.mark.fault
def test_what_prevents_a_save_is_told_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    saver = BackgroundSaver(CheckpointManager(tmp_path / "file"))
    assert saver.save(a_checkpoint(1)) is None
    assert "was not saved" in str(saver.save(a_checkpoint(2)))
    assert "was not saved" in str(saver.wait())


KILLED = """
import os, signal, sys
from contextlib import contextmanager
sys.path.insert(0, "tests/model/training")
from test_checkpoint import a_checkpoint
from fakeit.model.training import checkpoint
from fakeit.model.training.background import BackgroundSaver
from fakeit.model.training.background import BackgroundSaver
from fakeit.model.training.checkpoint import CheckpointManager
saver = BackgroundSaver(CheckpointManager(sys.argv[1], keep=int(sys.argv[2])))
saver.save(a_checkpoint(1), best=True)
saver.wait()
write, number = checkpoint.write_atomically, 0

@contextmanager
def dying(location):
    global number
    number += 1
    with write(location) as file:
        if number == int(sys.argv[3]):
            class Half:
                def write(self, data):
                    file.write(data[:len(data) // 2])
                    file.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
            yield Half()
        else:
            yield file

checkpoint.write_atomically = dying
saver.save(a_checkpoint(2), best=True)
saver.wait()
"""


@pytest.mark.fault
@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize(("write", "left"), [(1, 1), (2, 2), (3, 2)], ids=["checkpoint", "best", "index"])
def test_a_kill_in_the_middle_of_a_write_leaves_the_last_good_one(
    tmp_path: Path, keep: int, write: int, left: int
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(keep), str(write)], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL and list(tmp_path.glob("*.tmp"))
    checkpoints = CheckpointManager(tmp_path, keep)
    assert checkpoints.latest()[0].position.step == left and checkpoints.latest()[1] == []
    assert load(tmp_path / BEST).position.step == (2 if write == 3 else 1)
    assert checkpoints.save(a_checkpoint(3)) is None and checkpoints.latest()[0].position.step == 3
