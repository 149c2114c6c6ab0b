"""Missing points filled in by models that learnt from the points that are there (semi-supervised), in rounds.

A round trains on the dataset as it stands, predicts what is missing in the training rows, and writes a dataset whose
filled points have a weight between 0 and 1, their confidence, and visibility 0: nobody takes them for labels. The next
round trains on that one, but always fills the gaps of the first dataset anew, so that mistakes do not add up. The
models are one with a masked loss, or one for every point that has gaps, as the first solution of the competition did.

The points that a row does have tell where its face is: the predicted face is moved, turned and scaled onto them before
its other points are taken. Confidence comes from two things that need no label of the point: how far the models and
their answers to the mirrored crop lie apart, and how far off they are, point by point, on validation rows.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.kaggle.shard_imputation import (
    FillConfig,
    ImputeMissing,
    Predictor,
    ShardErrors,
    SinglePoint,
    count_missing,
)
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.config import to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import join
from fakeit.pipelines.flows.rewrite import Facts, rewrite
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.machine.runners import Runner
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.replacing import check_output


def validation_errors(
    dataset: str, predictors: Sequence[Predictor], config: FillConfig, runner: Runner, lacking: NDArray[np.float64]
) -> tuple[float, ...]:
    """(K,) each point's standard deviation of an axis on validation rows, unit crop; `typical` where none can tell. The
    runner predicts, shard by shard. `lacking`: `missing_share` of the dataset."""
    manifest = manifests.load(dataset)
    task = ShardErrors(dataset, manifest.scheme, tuple(predictors), tuple((lacking > 0.3).tolist()))
    squares, known = np.zeros(manifest.shape.points), np.zeros(manifest.shape.points)
    for square, count in runner(task, [s.path for s in manifest.of("val")], lambda ended: None):
        squares, known = squares + square, known + count
    return tuple(float(np.sqrt(s / n)) if n >= 5 else config.typical for s, n in zip(squares, known, strict=True))


@dataclass(frozen=True)
class Round:
    """One round: the dataset it made, who predicted, seconds of training and of the prediction pass."""

    dataset: str
    predictors: tuple[Predictor, ...]
    training_seconds: float
    filling_seconds: float
    filled: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    confidence: float = 0.0


def fill_in(
    dataset: str,
    output: str,
    scratch: str,
    train: Callable[[str, str], str],
    runner: Runner,
    config: FillConfig,
    overwrite: bool = False,
    report: Callable[[int, Round], None] = lambda number, ended: None,
) -> list[Round]:
    """Fills the gaps of a dataset's training rows.

    Args:
        dataset: with gaps.
        output: the filled dataset to write.
        scratch: local folder for the rounds' datasets and models.
        train: (dataset, name of the run) → path of the model, which every executor can read.
        runner: for the prediction passes.
        config: see `FillConfig`.
        overwrite: replace a dataset at `output`.
        report: called after each round with its number, from 1.

    Raises:
        FakeitError: nothing is missing, or a dataset or model that cannot be read.
    """
    check_output(output, "overwrite" if overwrite else "refuse", [dataset], resumable=False)
    lacking = missing_share(dataset, runner)
    points = np.flatnonzero(lacking).tolist()
    if not points:
        raise FakeitError(f"dataset {dataset}: no training row lacks a point, there is nothing to fill in")
    rounds: list[Round] = []
    current = dataset
    for number in range(1, config.rounds + 1):
        started = time.monotonic()
        predictors = _train_predictors(current, points, join(scratch, f"round-{number}"), number, train, runner, config)
        trained = time.monotonic()
        last = number == config.rounds
        target = output if last else join(scratch, f"round-{number}", "filled")
        usual = validation_errors(dataset, predictors, config, runner, lacking)
        change = ImputeMissing(predictors, manifests.load(dataset).scheme, usual, config)
        note = _Note(config, number, predictors, change.floor)
        made = rewrite(dataset, target, change, runner, note, overwrite or not last)
        told = note(made.facts)["fill_in"]
        ended = time.monotonic()
        rounds.append(
            Round(
                target,
                predictors,
                trained - started,
                ended - trained,
                told["filled"],
                told["missing"],
                told["confidence"],
            )
        )
        report(number, rounds[-1])
        current = target
    return rounds


def missing_share(dataset: str, runner: Runner) -> NDArray[np.float64]:
    """(K,) share of the training rows that lack each point; the runner counts, shard by shard."""
    manifest = manifests.load(dataset)
    paths = [shard.path for shard in manifest.of("train")]
    counted = runner(partial(count_missing, dataset), paths, lambda ended: None)
    lacking = sum((missing for missing, _ in counted), np.zeros(manifest.shape.points))
    return np.asarray(lacking / max(sum(rows for _, rows in counted), 1), np.float64)


def _train_predictors(
    dataset: str,
    points: Sequence[int],
    folder: str,
    number: int,
    train: Callable[[str, str], str],
    runner: Runner,
    config: FillConfig,
) -> tuple[Predictor, ...]:
    if config.models == "one":
        return (Predictor(train(dataset, f"round-{number}")),)
    names = scheme(manifests.load(dataset).scheme).names
    predictors = []
    for point in points:
        alone = join(folder, names[point])
        rewrite(dataset, alone, SinglePoint(point), runner, lambda facts, p=point: {"only": names[p]}, overwrite=True)  # type: ignore[misc]
        predictors.append(Predictor(train(alone, f"round-{number}-{names[point]}"), (point,)))
    return tuple(predictors)


@dataclass(frozen=True)
class _Note:
    """What the manifest's conf says of a filled dataset."""

    config: FillConfig
    number: int
    predictors: tuple[Predictor, ...]
    floor: tuple[float, ...]

    def __call__(self, facts: Sequence[Facts]) -> dict[str, Any]:
        filled: dict[str, int] = {}
        for fact in facts:
            for name, count in fact["filled"].items():
                filled[name] = filled.get(name, 0) + count
        count = sum(filled.values())
        return {
            "fill_in": {
                **to_dict(self.config),
                "round": self.number,
                "predicted": "points of weight above 0 and visibility 0",
                "filled": filled,
                "missing": sum(fact["missing"] for fact in facts),
                "confidence": sum(fact["confidence"] for fact in facts) / count if count else 0.0,
                "usual_error": [round(value, 5) for value in self.floor],
                "models": [Path(predictor.path).name for predictor in self.predictors],
            }
        }


def trainer(
    config: TrainConfig, scratch: str, travels: Callable[[Path, str], Path] = lambda best, dataset: best
) -> Callable[[str, str], str]:
    """How a round's models are trained: alone in this process, from the same start, tracked under their own names.

    Args:
        config: of each training; its tracking's experiment is kept.
        scratch: the runs lie below it; an older run of the same name is replaced.
        travels: (checkpoint, its dataset) → the file that predicts, where executors cannot read checkpoints.

    What is given raises FakeitError where the conf would train on other crops or points than are stored.
    """

    def train(dataset: str, name: str) -> str:
        from fakeit.model.distributed.communicator import connect
        from fakeit.model.training.trainer import train

        stored = manifests.load(dataset)
        if config.input.crop(stored.crop) != stored.crop or config.input.scheme not in (None, stored.scheme):
            raise FakeitError(f"{dataset}: its crops are filled in as they are stored; leave [input] out of the conf")
        output = Path(scratch) / "runs" / name
        shutil.rmtree(output, ignore_errors=True)
        tracking = replace(config.tracking, run=f"fill-in {name}", model=False)
        comm = connect(config.comm)
        try:
            best = train(replace(config, tracking=tracking), dataset, output, comm).best.absolute()
        finally:
            comm.close()
        return str(travels(best, dataset))

    return train
