"""The loop in one process: it learns, resumes bit for bit, stops when told, and says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_dataset import make_dataset
from train_job import losses

from fakeit.model.data.config import DataConfig, InputConfig
from fakeit.model.data.dataset import DatasetSpec
from fakeit.model.distributed.communicator import Single
from fakeit.model.networks import NetworkConfig
from fakeit.model.tracking.mlflow_tracker import TrackingConfig
from fakeit.model.training import trainer
from fakeit.model.training.checkpoint import BEST, CheckpointManager, load
from fakeit.model.training.config import LoopConfig, SecondSession, TrainConfig
from fakeit.model.training.losses import LossConfig
from fakeit.model.training.optim import OptimiserConfig, ScheduleConfig
from fakeit.model.training.trainer import TrainingResult, train
from fakeit.pipelines.config import from_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.augment import AugmentConfig, Block

CONFIG = TrainConfig(
    network=NetworkConfig(name="lenet", dropout=0.1),
    data=DataConfig(batch_size=8, shuffle_block_shards=1),
    optimiser=OptimiserConfig(lr=3e-3, ema=0.9),
    schedule=ScheduleConfig("cosine", warmup=0.5),
    train=LoopConfig(epochs=3, checkpoint_minutes=0.0, keep=50, validate_batch=4, precision="float32"),
    tracking=TrackingConfig(uri=""),
)
ROTATION = AugmentConfig(rotation=Block((-20, 20)), iso_noise=Block((0.0, 0.05)), flip=Block(probability=0.5))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_dataset(tmp_path_factory.mktemp("data") / "set", train=(13, 12), val=(9,), missing=0.1, margin=0.4))


def run(config: TrainConfig, dataset: str, folder: Path, **options: Any) -> TrainingResult:
    return train(config, dataset, folder, Single(), **options)


def test_it_learns(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", train=(100, 100), val=(20,))
    loop = replace(CONFIG.train, epochs=12, checkpoint_minutes=5, monitor="mse")
    config = replace(CONFIG, train=loop, network=NetworkConfig(name="lenet"), data=DataConfig(batch_size=16))
    first = run(replace(config, train=replace(loop, epochs=1)), str(folder), tmp_path / "one")
    outcome = run(config, str(folder), tmp_path / "run")
    assert outcome.epochs == 12 and outcome.ended == "all epochs are done"
    assert outcome.metrics["val_mse"] < first.metrics["val_mse"]
    history = load(outcome.best).progress["history"]
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]
    assert (tmp_path / "run" / "predictions.png").stat().st_size > 1000


def test_an_nme_that_no_face_has_chooses_nothing(dataset: str, tmp_path: Path) -> None:
    """No epoch was ever the best: after the whole training there was no best.pt, and nothing said so."""
    config = replace(CONFIG, input=InputConfig(scheme="ibug68"))  # of which five points know no corner of an eye
    with pytest.raises(FakeitError, match="dataset .*/set no face of the split val has .* of ibug68: monitor 'mse'"):
        run(replace(config, train=replace(config.train, monitor="nme")), dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("augment", [None, ROTATION], ids=["plain", "augmented"])
def test_two_runs_of_one_seed_are_the_same(dataset: str, tmp_path: Path, augment: AugmentConfig | None) -> None:
    config = replace(CONFIG, augment=augment, train=replace(CONFIG.train, epochs=2, checkpoint_minutes=5))
    for name in ("a", "b"):
        run(config, dataset, tmp_path / name)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    run(replace(config, train=replace(config.train, seed=2)), dataset, tmp_path / "c")
    assert losses(tmp_path / "c") != losses(tmp_path / "a")


@pytest.mark.fault
@pytest.mark.parametrize("crash", [1, 3, 4, 6, 11])
def test_a_run_that_died_at_any_step_goes_on_bit_for_bit(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: int
) -> None:
    config = replace(CONFIG, augment=ROTATION, input=InputConfig(margin=0.2))
    whole = run(config, dataset, tmp_path / "whole")
    after = trainer.Trainer._after_step

    def dying(self: Any, session: Any, report: Any, epoch: int, steps: Any) -> None:
        after(self, session, report, epoch, steps)
        if report.step == crash:
            raise MemoryError("killed")

    with monkeypatch.context() as broken:
        broken.setattr(trainer.Trainer, "_after_step", dying)
        with pytest.raises(MemoryError):
            run(config, dataset, tmp_path / "died")
    if not list((tmp_path / "died" / "checkpoints").glob("*.pt")):
        assert crash == 1
        return
    resumed = run(config, dataset, tmp_path / "died", resume=True)
    assert losses(tmp_path / "died") == losses(tmp_path / "whole")
    assert resumed.metrics["val_loss"] == whole.metrics["val_loss"]
    a, b = (load(p / "checkpoints" / "step-000000012.pt") for p in (tmp_path / "whole", tmp_path / "died"))
    assert all(torch.equal(a.weights[k], b.weights[k]) for k in a.weights)
    assert a.ema is not None and b.ema is not None and all(torch.equal(a.ema[k], b.ema[k]) for k in a.ema)


def test_frozen_norms_keep_their_statistics_from_their_share_on(dataset: str, tmp_path: Path) -> None:
    """Half of four epochs: the running statistics of the second half are those of the end of the first."""
    network = NetworkConfig(name="resnet_lean", width=0.25)
    loop = replace(CONFIG.train, epochs=4, freeze_norms=0.5)
    config = replace(CONFIG, network=network, train=loop, optimiser=OptimiserConfig(lr=1e-3))
    run(config, dataset, tmp_path / "run")
    first, half, last = (load(tmp_path / "run" / "checkpoints" / f"step-{step:09d}.pt").weights for step in (4, 8, 16))
    names = [k for k in first if "running" in k]
    assert names and all(torch.equal(half[k], last[k]) for k in names)
    assert not any(torch.equal(first[k], half[k]) for k in names)
    assert not torch.equal(half["head.linear.weight"], last["head.linear.weight"])
    with pytest.raises(FakeitError, match="freeze_norms"):
        LoopConfig(freeze_norms=1.5)


def test_accumulated_batches_are_one_large_batch(dataset: str, tmp_path: Path) -> None:
    loop = replace(CONFIG.train, epochs=2, checkpoint_minutes=5)
    plain = replace(CONFIG, network=NetworkConfig(name="lenet"), train=loop, schedule=ScheduleConfig())
    large = replace(plain, data=replace(CONFIG.data, batch_size=25))
    small = replace(plain, data=replace(CONFIG.data, batch_size=5), optimiser=replace(CONFIG.optimiser, accumulate=5))
    run(large, dataset, tmp_path / "large")
    run(small, dataset, tmp_path / "small")
    a, b = losses(tmp_path / "large"), losses(tmp_path / "small")
    assert a.keys() == b.keys() == {1, 2}
    assert all(a[s] == pytest.approx(b[s], rel=1e-4) for s in a)


def test_a_second_session_starts_from_the_best_with_its_own_batch(dataset: str, tmp_path: Path) -> None:
    config = replace(CONFIG, second=SecondSession(epochs=2, batch_size=25, lr=1e-4))
    outcome = run(config, dataset, tmp_path / "run")
    assert outcome.epochs == 5 and len(losses(tmp_path / "run")) == 3 * 4 + 2
    last = load(sorted((tmp_path / "run" / "checkpoints").glob("step*"))[-1])
    assert last.position.session == 1 and last.progress["session_start"] == 3
    assert last.progress["history"][-1]["lr"] <= 1e-4


def test_it_stops_when_nothing_gets_better(dataset: str, tmp_path: Path) -> None:
    loop = replace(CONFIG.train, epochs=30, patience=2)
    outcome = run(replace(CONFIG, train=loop, optimiser=OptimiserConfig(lr=1e-12)), dataset, tmp_path / "run")
    assert outcome.epochs < 30 and "for 2 epochs" in outcome.ended


def test_it_does_not_stop_before_a_validation_has_judged(dataset: str, tmp_path: Path) -> None:
    """With a patience below `validate_every` it stopped unjudged, without a best checkpoint."""
    loop = replace(CONFIG.train, epochs=30, patience=2, validate_every=3)
    config = replace(CONFIG, train=loop, optimiser=OptimiserConfig(lr=1e-12))
    outcome = run(config, dataset, tmp_path / "run")
    assert outcome.best.exists() and outcome.metrics["val_loss"] > 0
    assert outcome.epochs == 6, "judged after three, and in vain after three more"


def test_a_run_that_stopped_for_want_of_better_is_not_trained_on_when_it_is_resumed(
    dataset: str, tmp_path: Path
) -> None:
    config = replace(CONFIG, train=replace(CONFIG.train, epochs=30, patience=1), optimiser=OptimiserConfig(lr=1e-12))
    first = run(config, dataset, tmp_path / "run")
    again = run(config, dataset, tmp_path / "run", resume=True)
    assert (again.epochs, again.ended, again.metrics) == (first.epochs, first.ended, first.metrics)
    followed = replace(config, second=SecondSession(epochs=1, batch_size=25, lr=1e-4))
    outcome = run(followed, dataset, tmp_path / "run", resume=True)
    assert outcome.epochs == first.epochs + 1, "the second session, as if nothing had stopped between"


def test_weights_of_another_run_are_a_start(dataset: str, tmp_path: Path) -> None:
    first = run(CONFIG, dataset, tmp_path / "first")
    still = replace(CONFIG, optimiser=OptimiserConfig(lr=1e-12), train=replace(CONFIG.train, epochs=1))
    second = run(still, dataset, tmp_path / "second", init=str(first.best))
    assert second.metrics["val_loss"] == pytest.approx(first.metrics["val_loss"], rel=1e-5)
    with pytest.raises(FakeitError, match="only 1 of 314 layers fit"):
        other = replace(CONFIG, network=NetworkConfig(name="mobilenet_v2", width=0.25))
        run(other, dataset, tmp_path / "third", init=str(first.best))


def test_weights_are_shown_pixels_as_they_learnt_them(dataset: str, tmp_path: Path) -> None:
    config = replace(CONFIG, network=NetworkConfig(name="resnet_lean", width=0.25, pool="grid", normalise="imagenet"))
    first = run(config, dataset, tmp_path / "first")
    still = replace(config.network, normalise="half")
    once = replace(CONFIG.train, epochs=1, freeze_norms=0.0)
    config = replace(config, network=still, optimiser=OptimiserConfig(lr=1e-12), train=once)
    second = run(config, dataset, tmp_path / "second", init=str(first.best))
    assert second.metrics["val_loss"] == pytest.approx(first.metrics["val_loss"], rel=1e-5)
    assert load(second.best).network.normalise == "imagenet"


def test_larger_crops_start_from_what_smaller_ones_learnt(
    dataset: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grid = replace(CONFIG, network=NetworkConfig("resnet_lean", width=0.25, pool="grid"))
    first = run(grid, dataset, tmp_path / "first")
    size = load(first.best).crop.size
    larger = replace(grid, input=replace(grid.input, size=size + 40), optimiser=OptimiserConfig(lr=1e-12))
    second = run(
        replace(larger, train=replace(CONFIG.train, epochs=1)), dataset, tmp_path / "second", init=str(first.best)
    )
    assert "start anew" not in capfd.readouterr().err
    small, large = load(first.best).ema["head.linear.weight"], load(second.best).weights["head.linear.weight"]
    assert large.shape[1] > small.shape[1]
    channels = 64  # equal features in every cell: both heads give the same answer
    old, new = (weight.reshape(len(weight), channels, -1).sum(2) for weight in (small, large))
    torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        {
            "network": {"name": "resnet_lean", "width": 0.25, "head": "gaussian"},
            "loss": {"terms": {"gnll": 0.5, "wing": 1.0}},
        },
        {
            "network": {"name": "resnet_lean", "width": 0.25, "head": "votes", "visibility": True, "dense_modes": 8},
            "loss": {"terms": {"l1": 8.0, "laplace": 0.3}, "dense": 0.3, "visibility": 0.1},
            "augment": {"flip": {"probability": 0.5}},
        },
        {"network": {"name": "lenet"}, "data": {"resident": True, "mixup": 0.2, "reader": "petastorm"}},
        {
            "network": {"name": "lenet"},
            "input": {"size": 40, "colour": "grey", "scheme": "five"},
            "train": {"precision": "bf16"},
        },
    ],
    ids=["gaussian", "votes", "resident", "recropped"],
)
def test_every_way_to_train_runs(dataset: str, tmp_path: Path, values: dict[str, Any]) -> None:
    if "dense" in values.get("loss", {}):
        dataset = str(make_dataset(tmp_path / "dense", train=(25,), val=(9,), dense=True))
    loop = {"epochs": 1, "validate_batch": 8, **values.get("train", {})}
    data = {"batch_size": 8, **values.get("data", {})}
    config = from_dict({**values, "train": loop, "data": data, "tracking": {"uri": ""}}, TrainConfig)
    outcome = run(config, dataset, tmp_path / "run")
    found = load(outcome.best)
    size, channels = found.crop.size, found.crop.channels
    assert found.build()(torch.zeros(1, size, size, channels, dtype=torch.uint8)).points.isfinite().all()


def test_a_dataset_without_dense_points_trains_a_network_without(
    dataset: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = {"name": "resnet_lean", "width": 0.25, "head": "votes", "dense_modes": 8}
    loop = {"epochs": 1, "validate_batch": 8}
    values = {"network": network, "loss": {"terms": {"l1": 1.0}, "dense": 0.3}, "train": loop, "tracking": {"uri": ""}}
    found = load(run(from_dict(values, TrainConfig), dataset, tmp_path / "run").best)
    assert found.network.dense_modes == 0 and found.build().dense is None
    assert "has no dense points, so the network gives none" in capfd.readouterr().err


def test_it_trains_where_there_is_no_spark(dataset: str, tmp_path: Path) -> None:
    """GPU machines often have no Java."""
    script = (
        "import sys\n"
        "for name in ('pyspark', 'petastorm', 'horovod'): sys.modules[name] = None\n"
        "from fakeit.model.distributed.communicator import Single\n"
        "from fakeit.model.training.config import TrainConfig\n"
        "from fakeit.model.training.trainer import train\n"
        "from fakeit.pipelines.config import from_dict\n"
        "values = {'network': {'name': 'lenet'}, 'train': {'epochs': 1}, 'tracking': {'uri': ''}}\n"
        "train(from_dict(values, TrainConfig), sys.argv[1], sys.argv[2], Single())\n"
    )
    command = [sys.executable, "-c", script, dataset, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "checkpoints" / BEST).exists()


def test_datasets_are_mixed(dataset: str, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "other", train=(5,), val=(), seed=4, margin=0.4)
    data = replace(CONFIG.data, mix=(DatasetSpec(str(other), 2.0),))
    run(replace(CONFIG, data=data), dataset, tmp_path / "run")
    assert len(losses(tmp_path / "run")) == 3 * 5  # 25 + 2 × 5 rows in batches of at most 8


def test_a_share_of_the_training_rows_is_no_share_of_validation(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = trainer.validate

    def counting(network: Any, loader: Any, *rest: Any) -> Any:
        seen.extend(len(batch.images) for batch in loader.epoch(0))
        return forward(network, loader, *rest)

    monkeypatch.setattr(trainer, "validate", counting)
    run(replace(CONFIG, data=replace(CONFIG.data, passes_per_epoch=0.34)), dataset, tmp_path / "run")
    assert seen == [3, 3, 3] * 3, "nine rows in batches of at most four, after each of three epochs"


def test_validation_is_that_of_the_saved_network(dataset: str, tmp_path: Path) -> None:
    outcome = run(CONFIG, dataset, tmp_path / "run")
    from fakeit.model.data.dataset import ShardedDataset

    store = ShardedDataset([DatasetSpec(dataset)], "val")
    images = torch.empty((store.rows, 32, 32, 3), dtype=torch.uint8)
    landmarks, weight, _ = store.gather(np.arange(store.rows), images.numpy())
    with torch.no_grad():
        points = load(outcome.best).build()(images).points
    present, truth = torch.from_numpy(weight) > 0, torch.from_numpy(landmarks)
    assert outcome.metrics["val_mse"] == pytest.approx((points - truth)[present].square().mean().item(), rel=1e-4)


@pytest.mark.fault
@pytest.mark.parametrize("most", [0, 2])
def test_losses_that_are_not_finite_are_skipped_and_then_name_the_batch(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, capfd: pytest.CaptureFixture[str]
) -> None:
    forward, count = trainer.TrainLoop._forward, iter(range(99))

    def broken(self: Any, batch: Any, epoch: int) -> Any:
        return forward(self, batch, epoch) * (float("nan") if next(count) >= 5 else 1.0)

    monkeypatch.setattr(trainer.TrainLoop, "_forward", broken)
    message = rf"loss of step {6 + most} is not a finite number; its batch is face-\d+-\d+#0, .*lower optimiser.lr"
    with pytest.raises(FakeitError, match=message):
        run(replace(CONFIG, train=replace(CONFIG.train, max_skipped=most)), dataset, tmp_path / "run")
    assert capfd.readouterr().err.count("The step was skipped") == most
    assert all(v.isfinite().all() for v in load(tmp_path / "run" / "checkpoints" / BEST).weights.values())


@pytest.mark.fault
def test_a_run_with_one_broken_step_goes_on_and_counts_it(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, count = trainer.TrainLoop._forward, iter(range(99))

    def broken(self: Any, batch: Any, epoch: int) -> Any:
        return forward(self, batch, epoch) * (float("inf") if next(count) == 5 else 1.0)

    monkeypatch.setattr(trainer.TrainLoop, "_forward", broken)
    outcome = run(replace(CONFIG, optimiser=OptimiserConfig("sgd", lr=0.05, ema=0.9)), dataset, tmp_path / "run")
    found = load(sorted((tmp_path / "run" / "checkpoints").glob("step*"))[-1])
    assert outcome.epochs == 3 and [e.get("skipped_steps", 0) for e in found.progress["history"]] == [0, 1, 0]
    assert all(e["gradient_norm"] > 0 for e in found.progress["history"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["loss"] is None] == [6]
    for state in (found.weights, found.ema):
        assert state is not None and all(v.isfinite().all() for v in state.values())


def test_time_that_was_spent_before_a_resume_counts(dataset: str, tmp_path: Path) -> None:
    first = replace(CONFIG, train=replace(CONFIG.train, epochs=2, minutes=60))
    run(first, dataset, tmp_path / "run")
    newest = CheckpointManager(tmp_path / "run" / "checkpoints")
    spent = newest.latest()[0].progress["seconds"]
    assert spent > 0
    steps = len(losses(tmp_path / "run"))
    over = replace(first, train=replace(first.train, epochs=9, minutes=spent / 120))
    assert run(over, dataset, tmp_path / "run", resume=True).ended == "time is up"
    assert len(losses(tmp_path / "run")) == steps, "nothing is left of it"
    run(replace(first, train=replace(first.train, epochs=3)), dataset, tmp_path / "run", resume=True)
    assert newest.latest()[0].progress["seconds"] > spent


def test_plateaus_are_judged_by_validation_alone(dataset: str, tmp_path: Path) -> None:
    """Training loss stood in where an epoch was not validated: the rate fell while NME got better."""
    loop = replace(CONFIG.train, epochs=9, validate_every=3, monitor="nme", checkpoint_minutes=5)
    schedule = ScheduleConfig("plateau", patience=3)
    config = replace(CONFIG, train=loop, schedule=schedule, optimiser=OptimiserConfig("sgd", lr=1e-6))
    run(config, dataset, tmp_path / "run")
    history = load(sorted((tmp_path / "run" / "checkpoints").glob("step*"))[-1]).progress["history"]
    nme = [e["val_nme"] for e in history if "val_nme" in e]
    assert len(nme) == 3 and nme == sorted(nme, reverse=True), "a small rate gets better slowly"
    assert [e["lr"] for e in history] == [1e-6] * 9


@pytest.mark.fault
def test_a_signal_between_two_sessions_is_heard_in_the_second(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told to the first session's loop, which had no step left to hear it."""
    end = trainer.Trainer._end_epoch

    def ending(self: Any, loop: Any, epoch: int, last: int, rate: float) -> None:
        end(self, loop, epoch, last, rate)
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trainer.Trainer, "_end_epoch", ending)
    outcome = run(replace(CONFIG, second=SecondSession(epochs=2, batch_size=8, lr=1e-4)), dataset, tmp_path / "run")
    assert (outcome.ended, outcome.epochs) == ("preempted", 3) and len(losses(tmp_path / "run")) <= 14
    assert load(sorted((tmp_path / "run" / "checkpoints").glob("step*"))[-1]).position.session == 1


def test_images_a_second_are_those_that_were_learnt_when_time_was_up(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It said 0 images/s where no epoch was whole."""
    outcome = run(replace(CONFIG, train=replace(CONFIG.train, minutes=1e-9)), dataset, tmp_path / "run")
    assert outcome.ended == "time is up" and outcome.epochs == 1 and outcome.images_per_s > 1
    assert load(outcome.best).metrics["images_per_s"] > 1 and "  0 images/s" not in capsys.readouterr().out


@pytest.mark.fault
def test_a_shard_that_vanishes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_dataset(tmp_path / "set", train=(2,) * 40, codec="png")
    after = trainer.Trainer._after_step

    def vanish(self: Any, session: Any, report: Any, epoch: int, steps: Any) -> None:
        after(self, session, report, epoch, steps)
        for path in (folder / "train").glob("*.parquet"):
            path.unlink()

    monkeypatch.setattr(trainer.Trainer, "_after_step", vanish)
    with pytest.raises(FakeitError, match=r"shard .*parquet is missing"):
        run(CONFIG, str(folder), tmp_path / "run")


@pytest.mark.fault
def test_a_mapped_shard_that_is_cut_short_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not SIGBUS: the file is looked at before its pages are."""
    folder = make_dataset(tmp_path / "set", train=(20,) * 4)
    after = trainer.Trainer._after_step

    def cut(self: Any, session: Any, report: Any, epoch: int, steps: Any) -> None:
        after(self, session, report, epoch, steps)
        os.truncate(folder / "train" / "shard-00002.parquet", 5000)

    monkeypatch.setattr(trainer.Trainer, "_after_step", cut)
    with pytest.raises(FakeitError, match=r"shard .*shard-00002.parquet has 5000 bytes, it had \d+ when"):
        run(replace(CONFIG, data=DataConfig(batch_size=8)), str(folder), tmp_path / "run")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.fault
def test_a_disk_that_fills_up_stops_nothing(
    dataset: str, tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five checkpoints do not fit. Those that stand are whole; with room again, a resume goes on to the bit."""
    config = replace(CONFIG, train=replace(CONFIG.train, keep=50))
    run(config, dataset, tmp_path / "whole")
    outcome = run(config, dataset, small_disk / "run")
    said = capsys.readouterr().err
    assert outcome.ended == "all epochs are done"
    assert "was not saved: No space left on device; the ones before stand, training goes on" in said
    newest, problems = CheckpointManager(small_disk / "run" / "checkpoints").latest()
    assert 0 < newest.position.step < 12 and not problems
    assert not list(small_disk.rglob("*.tmp"))
    shutil.copytree(small_disk / "run", tmp_path / "run")
    run(config, dataset, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_bfloat16_learns_nearly_the_same(dataset: str, tmp_path: Path) -> None:
    config = replace(CONFIG, network=NetworkConfig(name="resnet_lean", width=0.25), data=DataConfig(batch_size=25))
    for name in ("float32", "bf16"):
        loop = replace(CONFIG.train, precision=name, checkpoint_minutes=5)  # type: ignore[arg-type]
        run(replace(config, train=loop), dataset, tmp_path / name)
    plain, half = losses(tmp_path / "float32"), losses(tmp_path / "bf16")
    assert half != plain and list(half.values()) == pytest.approx(list(plain.values()), rel=0.03)
    weights = load(tmp_path / "bf16" / "checkpoints" / BEST).weights
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {torch.float32}


@pytest.mark.slow
def test_a_compiled_network_trains_as_the_plain_one(dataset: str, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler on a CPU")
    config = replace(CONFIG, network=NetworkConfig(name="lenet"), data=DataConfig(batch_size=25))
    for name, compiled in (("plain", False), ("compiled", True)):
        loop = replace(CONFIG.train, compile=compiled, checkpoint_minutes=5)
        run(replace(config, train=loop), dataset, tmp_path / name)
    plain, compiled_ = losses(tmp_path / "plain"), losses(tmp_path / "compiled")
    assert list(compiled_.values()) == pytest.approx(list(plain.values()), rel=1e-3)
    a, b = (load(tmp_path / name / "checkpoints" / BEST).weights for name in ("plain", "compiled"))
    assert a.keys() == b.keys(), "a compiled network's checkpoint is like any other"


def test_a_place_that_cannot_be_written_is_named(dataset: str) -> None:
    with pytest.raises(FakeitError, match="--output /proc/run cannot be written"):
        run(CONFIG, dataset, Path("/proc/run"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"batch_size": 0}}, "data.batch_size"),
        ({"loss": {"terms": {"gnll": 1.0}}, "network": {"name": "lenet"}}, "network.head = 'votes' or 'gaussian'"),
        ({"network": {"head": "votes", "visibility": True}}, "set both or none"),
        ({"loss": {"dense": 0.3}}, "set both or none"),
        ({"network": {"visibility": True}}, "network.visibility needs network.head = 'votes'"),
        ({"network": {"name": "lenett"}}, "did you mean 'lenet'"),
        ({"train": {"device": "cuda"}}, "no GPU"),
        ({"train": {"device": "cpu", "precision": "fp16"}}, "needs a GPU; 'bf16' works"),
        ({"trian": {}}, "did you mean 'train'"),
        ({"data": {"shuffle_block_shards": 0}}, "shuffle_block_shards must be at least 1"),
        ({"data": {"images": -1}}, "images and mixup start at 0"),
        ({"train": {"validate_batch": 0}}, "validate_batch must be at least 1"),
        ({"train": {"patience": -1}}, "patience, max_skipped, checkpoint_minutes and threads start at 0"),
        ({"optimiser": {"clip": -1.0}}, "weight_decay and clip start at 0"),
        ({"optimiser": {"name": "sgd", "momentum": 1.5}}, "momentum lies in 0 to 1"),
        ({"schedule": {"name": "step", "every": 0}}, "schedule: every must be at least 1"),
        ({"second": {"epochs": 1, "batch_size": 0, "lr": 1e-4}}, "second: epochs and batch_size must be at least 1"),
        ({"data": {"passes_per_epoch": 0.01}}, "passes_per_epoch is 0.01: of 25 training rows some epochs would see"),
    ],
)
def test_mistakes_get_one_line(dataset: str, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(FakeitError, match=message):
        run(from_dict({"tracking": {"uri": ""}, **change}, TrainConfig), dataset, tmp_path / "run")


def test_a_run_is_not_overwritten_nor_resumed_with_another_dataset(dataset: str, tmp_path: Path) -> None:
    run(CONFIG, dataset, tmp_path / "run")
    with pytest.raises(FakeitError, match="holds a run already; say --resume"):
        run(CONFIG, dataset, tmp_path / "run")
    other = make_dataset(tmp_path / "other", seed=3, margin=0.4)
    with pytest.raises(FakeitError, match="was trained on dataset"):
        run(CONFIG, str(other), tmp_path / "run", resume=True)
    seventy = make_dataset(tmp_path / "seventy", scheme_name="face70", margin=0.4)
    with pytest.raises(FakeitError, match="scheme is five, the dataset's is face70"):
        run(CONFIG, str(seventy), tmp_path / "run", resume=True)


def test_losses_are_checked_before_anything_is_read() -> None:
    with pytest.raises(FakeitError, match="loss.terms is empty"):
        LossConfig(terms={})
