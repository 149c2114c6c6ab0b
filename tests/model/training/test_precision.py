"""`train.precision = "auto"`: what is chosen, why, and that a run and its ranks keep to it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_dataset import make_dataset
from train_job import SEVERAL, go, job, losses, sets

from fakeit.model.distributed.communicator import Single
from fakeit.model.networks import NetworkConfig
from fakeit.model.tracking.mlflow_tracker import TrackingConfig
from fakeit.model.training import precision
from fakeit.model.training.checkpoint import BEST, load
from fakeit.model.training.config import LoopConfig, TrainConfig
from fakeit.model.training.trainer import train
from fakeit.pipelines.faces.crop import CropConfig

AUTO = TrainConfig(NetworkConfig(name="lenet"), train=LoopConfig(epochs=1), tracking=TrackingConfig(uri=""))
CROP = CropConfig(size=32)


class OnGpus(Single):
    """Whose rank 0 told what it chose."""

    rank = 1

    def broadcast(self, value: object) -> object:
        return "bf16"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_dataset(tmp_path_factory.mktemp("data") / "set", train=(13, 12), val=(9,), size=32))


def answering(monkeypatch: pytest.MonkeyPatch, plain: float, half: float) -> None:
    """A processor with bf16, on which steps take what is said here."""
    monkeypatch.setattr(precision, "has_bf16_arithmetic", lambda: True)
    monkeypatch.setattr(precision, "rates", lambda *_: (plain, half))


def test_without_the_arithmetic_it_is_float32_and_nothing_is_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": False}, raising=False)
    monkeypatch.setattr(precision, "rates", lambda *_: pytest.fail("timed"))
    assert precision.choose(AUTO, 5, CROP, Single(), "cpu", None) == "float32"
    assert capsys.readouterr().out == "precision: float32 (this processor does not compute with bf16)\n"


@pytest.mark.parametrize("capability", ["amx_bf16", "avx512_bf16"])
def test_with_the_arithmetic_the_step_is_timed(monkeypatch: pytest.MonkeyPatch, capability: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True}, raising=False)
    assert precision.has_bf16_arithmetic()


@pytest.mark.parametrize(
    ("half", "line"),
    [
        (575.0, "precision: bf16 (575 against 393 images/s)\n"),
        (400.0, "precision: float32 (393 images/s, with bf16 400)\n"),
        (215.0, "precision: float32 (393 images/s, with bf16 215)\n"),
    ],
)
def test_the_quicker_one_is_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], half: float, line: str
) -> None:
    answering(monkeypatch, 393.0, half)
    chosen = precision.choose(AUTO, 5, CROP, Single(), "cpu", None)
    assert capsys.readouterr().out == line and chosen in line


@pytest.mark.parametrize(("able", "wanted"), [(True, "bf16"), (False, "float32")])
def test_a_gpu_is_asked(monkeypatch: pytest.MonkeyPatch, able: bool, wanted: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or able)
    assert precision.choose(AUTO, 5, CROP, Single(), "cuda:0", None) == wanted


def test_the_timing_leaves_random_numbers_alone_and_fits_a_short_wait() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    plain, half = precision.rates(NetworkConfig(name="resnet_lean", width=0.25, dropout=0.1), 5, CROP, batch=1)
    assert plain > 0 and half > 0
    assert torch.equal(torch.rand(3), wanted)


def test_a_named_precision_is_taken_and_other_ranks_take_rank_0s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "rates", lambda *_: pytest.fail("timed"))
    named = replace(AUTO, train=replace(AUTO.train, precision="float32"))
    assert precision.choose(named, 5, CROP, Single(), "cpu", None) == "float32"
    assert precision.choose(AUTO, 5, CROP, OnGpus(), "cpu", None) == "bf16"


@pytest.mark.parametrize("began", ["bf16", "float32"])
def test_a_resumed_run_keeps_what_it_began_with(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], began: str
) -> None:
    answering(monkeypatch, 100.0, 150.0 if began == "bf16" else 50.0)
    first = train(AUTO, dataset, tmp_path / "run", Single())
    assert load(first.best).conf["train"]["precision"] == began
    answering(monkeypatch, 100.0, 50.0 if began == "bf16" else 150.0)  # the machine has changed its mind
    longer = replace(AUTO, train=replace(AUTO.train, epochs=2))
    train(longer, dataset, tmp_path / "run", Single(), resume=True)
    assert f"precision: {began} (as this run began)\n" in capsys.readouterr().out
    named = replace(longer, train=replace(longer.train, precision=began))  # type: ignore[arg-type]
    train(named, dataset, tmp_path / "named", Single())
    assert losses(tmp_path / "run") == losses(tmp_path / "named"), "resumed or not, timed or not: bit for bit"


def test_two_ranks_train_in_one_precision(dataset: str, tmp_path: Path) -> None:
    (tmp_path / "conf.toml").write_text(
        'network = { name = "resnet_lean", width = 0.25 }\ndata = { batch_size = 8 }\ntracking = { uri = "" }\n'
        "train = { epochs = 1, validate_batch = 4, sync_batchnorm = true }\n"
    )
    done = go(job(SEVERAL, 2, dataset, tmp_path / "auto"))
    assert done.returncode == 0, done.stderr[-2000:]
    told = re.findall(r"precision: (\w+) \(", done.stdout)
    assert len(told) == 1, "one line, from one rank"
    kept = load(tmp_path / "auto" / "checkpoints" / BEST).conf["train"]["precision"]
    assert kept == told[0]
    done = go(job(SEVERAL, 2, dataset, tmp_path / "named", *sets(f"train.precision={json.dumps(kept)}")))
    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(tmp_path / "auto") == losses(tmp_path / "named")
