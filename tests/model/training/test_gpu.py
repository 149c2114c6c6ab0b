"""On a GPU: what float32 on one CPU learns is learnt by every way of a GPU. The same jobs on a CPU keep these tests
honest where there is none (`make test-all`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_dataset import make_dataset
from train_job import go, job, losses, sets

CONF = """
network = { name = "resnet_lean", width = 0.25, head = "gaussian", pool = "grid" }
data = { batch_size = 16 }
loss = { terms = { l1 = 1.0, gnll = 0.05 } }
optimiser = { lr = 2e-3, ema = 0.9, clip = 1.0 }
train = { epochs = 6, validate_batch = 16, precision = "float32" }
tracking = { uri = "" }
second = { epochs = 2, batch_size = 32, lr = 5e-4 }
[augment]
rotation = { range = [-20.0, 20.0] }
patches = { range = [0.1, 0.3], probability = 0.3 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    make_dataset(folder / "set", train=(100, 100), val=(40,))
    (folder / "conf.toml").write_text(CONF)
    return folder


def trained(
    folder: Path, name: str, device: str, environment: dict[str, str], backend: str, *options: str
) -> tuple[list[float], str]:
    """The steps' losses of a run and what it printed."""
    command = job(backend, 1, str(folder / "set"), folder / name, *sets(f"train.device={device}", *options))
    done = go(command, 280, environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return list(losses(folder / name).values()), done.stdout


@pytest.fixture(scope="module")
def reference(folder: Path) -> list[float]:
    return trained(folder, "reference", "cpu", dict(os.environ), "single")[0]


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
@pytest.mark.parametrize(
    ("backend", "options", "near"),
    [
        ("single", [], 0.01),
        ("single", ["data.resident=true"], 0.01),
        ("single", ["train.precision=bf16"], 0.05),
        ("single", ["train.compile=true"], 0.01),
        ("horovod", ["comm.overlap=on"], 0.01),
        ("horovod", ["comm.overlap=on", "comm.compression=fp16", "train.precision=bf16"], 0.05),
        ("ddp", ["comm.overlap=on"], 0.01),
    ],
    ids=["streaming", "resident", "bf16", "compile", "horovod", "horovod-fp16-bf16", "ddp"],
)
def test_every_way_learns_what_one_cpu_learns(
    device: str, backend: str, options: list[str], near: float, folder: Path, reference: list[float],
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    environment = request.getfixturevalue("gpu") if device == "cuda" else dict(os.environ)
    found, printed = trained(folder, request.node.callspec.id, device, environment, backend, *options)
    assert f"on {device}" in printed
    assert len(found) == len(reference)
    assert found[:3] == pytest.approx(reference[:3], rel=near), "before rounding has grown"
    assert sum(found[-5:]) == pytest.approx(sum(reference[-5:]), rel=0.25)
    assert sum(found[-5:]) < sum(found[:5])


@pytest.mark.gpu
def test_horovod_was_built_with_nccl(gpu: dict[str, str]) -> None:
    command = [sys.executable, "-c", "import horovod.torch as hvd; raise SystemExit(not hvd.nccl_built())"]
    assert subprocess.run(command, env=gpu).returncode == 0, "make setup GPU=1 builds Horovod with NCCL"
