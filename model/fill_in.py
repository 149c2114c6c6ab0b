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
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.adapter import alignment
from model.backends import Backend, open_backend
from model.inference import confidence
from model.train_config import TrainConfig
from pipelines.config import to_dict
from pipelines.errors import FakeitError
from pipelines.landmarks import scheme
from pipelines.rewrite import Facts, rewrite
from pipelines.runners import Runner
from pipelines.storage import join
from pipelines.store import manifest as manifests
from pipelines.store.schema import Rows
from pipelines.store.shards import read_shard

Points = NDArray[np.float32]
BATCH = 64


@dataclass(frozen=True)
class FillConfig:
    """How gaps are filled.

    Attributes:
        rounds: of training and filling.
        models: "one" with a masked loss, or "each": one for every point that has gaps.
        least: points of less confidence stay missing.
        strength: the weight of a filled point of confidence 1; labels weigh 1.
        typical: unit crop, the error assumed where no validation row can tell.
    """

    rounds: int = 2
    models: Literal["one", "each"] = "one"
    least: float = 0.2
    strength: float = 0.5
    typical: float = 0.03

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise FakeitError(f"fill.rounds is {self.rounds}; at least 1 is needed")
        if not (0 <= self.least < 1 and 0 < self.strength < 1):
            raise FakeitError(
                f"fill.least is {self.least} and fill.strength {self.strength}; both must lie in 0 to 1, "
                "since a filled point may never weigh as much as a label"
            )


@dataclass(frozen=True)
class Expert:
    """A trained model and the points it answers for (None: all)."""

    path: str
    points: tuple[int, ...] | None = None


@lru_cache(maxsize=32)
def _backend(path: str) -> Backend:
    return open_backend(Path(path))  # once for each executor process


def predict(experts: Sequence[Expert], images: NDArray[np.uint8], scheme_name: str) -> tuple[Points, Points]:
    """What the experts say about crops, each crop also mirrored.

    Args:
        experts: at least one for every point.
        images: (N, H, W, C) uint8 crops as the experts' datasets have them.
        scheme_name: of the points.

    Returns:
        (N, K, 2) mean points, unit crop, and (N, K) their spread: the root mean square distance from it.
    """
    flip = list(scheme(scheme_name).flip)
    votes: list[list[Points]] = [[] for _ in flip]
    for expert in experts:
        backend = _backend(expert.path)
        if backend.recipe.scheme != scheme_name:
            raise FakeitError(
                f"model {expert.path} gives {backend.recipe.scheme} points, the dataset has {scheme_name}"
            )
        straight = _run(backend, images)
        mirrored = _run(backend, np.ascontiguousarray(images[:, :, ::-1]))[:, flip]
        mirrored = mirrored * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
        own = range(len(flip)) if expert.points is None else expert.points
        for index in own:
            votes[index].append(straight[:, index])
            if expert.points is None or flip[index] in expert.points:  # its twin may be another expert's
                votes[index].append(mirrored[:, index])
    means = np.full((len(images), len(flip), 2), np.nan, np.float32)
    spread = np.zeros((len(images), len(flip)), np.float32)
    for index, said in enumerate(votes):
        if said:
            stacked = np.stack(said)
            means[:, index] = stacked.mean(0)
            spread[:, index] = np.sqrt(((stacked - means[:, index]) ** 2).sum(-1).mean(0))
    return means, spread


def _run(backend: Backend, images: NDArray[np.uint8]) -> Points:
    parts = [backend.run(images[i : i + BATCH])[0] for i in range(0, len(images), BATCH)]
    return np.concatenate(parts)


@dataclass(frozen=True)
class Fill:
    """The change of one shard (pipelines.rewrite): gaps of training rows → predicted points with their confidence.

    Attributes:
        experts: who predicts; files that every executor can read.
        scheme: of the dataset.
        floor: (K,) each point's usual error, unit crop.
        config: see `FillConfig`.
    """

    experts: tuple[Expert, ...]
    scheme: str
    floor: tuple[float, ...]
    config: FillConfig

    def __call__(self, rows: Rows, split: str) -> tuple[Rows, Facts]:
        missing = ~np.isfinite(rows["landmarks"]).all(-1)
        names = scheme(self.scheme).names
        if split != "train" or not missing.any():
            return rows, {"split": split, "filled": {}, "missing": 0, "confidence": 0.0}
        points, trust = self.answers(rows["image"], rows["landmarks"])
        chosen = missing & (trust >= self.config.least) & np.isfinite(points).all(-1)
        filled = {names[i]: int(chosen[:, i].sum()) for i in np.flatnonzero(chosen.any(0))}
        facts = {"split": split, "filled": filled, "missing": int(missing.sum())}
        facts["confidence"] = float(trust[chosen].sum())
        landmarks = np.where(chosen[..., None], points, rows["landmarks"])
        weight = np.where(chosen, self.config.strength * trust, rows["weight"]).astype(np.float32)
        return {**rows, "landmarks": landmarks.astype(np.float32), "weight": weight}, facts

    def answers(self, images: NDArray[np.uint8], known: Points) -> tuple[Points, Points]:
        """(N, K, 2) predicted points laid onto the `known` ones, unit crop, and (N, K) confidence in [0, 1]."""
        points, spread = predict(self.experts, images, self.scheme)
        points = laid_onto(points, known)
        sigma = np.sqrt(spread**2 / 2 + np.array(self.floor, np.float32) ** 2)  # of one axis
        return points, confidence(np.log(np.maximum(sigma, 1e-6)))


@dataclass(frozen=True)
class Only:
    """The change that leaves the loss of one point alone: the dataset for its own model."""

    point: int

    def __call__(self, rows: Rows, split: str) -> tuple[Rows, Facts]:
        weight = np.zeros_like(rows["weight"])
        weight[:, self.point] = rows["weight"][:, self.point]
        landmarks = np.where(weight[..., None] > 0, rows["landmarks"], np.float32(np.nan))
        return {**rows, "weight": weight, "landmarks": landmarks}, {}


def laid_onto(predicted: Points, known: Points) -> Points:
    """Predicted faces (N, K, 2), each moved, turned and scaled so that it fits its known points (N, K, 2, NaN where
    missing) best; only moved where less than three are known and predicted."""
    laid = predicted.copy()
    for face, (points, truth) in enumerate(zip(predicted, known, strict=True)):
        both = np.isfinite(points).all(-1) & np.isfinite(truth).all(-1)
        if both.sum() >= 3:
            centre = truth[both].mean(0, dtype=np.float64)
            turn, middle = alignment(points[both], truth[both] - centre)
            laid[face] = (points - middle) @ turn + centre
        elif both.any():
            laid[face] = points + (truth[both] - points[both]).mean(0)
    return laid


def usual_errors(dataset: str, experts: Sequence[Expert], config: FillConfig) -> tuple[float, ...]:
    """(K,) each point's standard deviation of an axis on validation rows, unit crop; `typical` where none can tell."""
    manifest = manifests.load(dataset)
    often = missing_share(dataset) > 0.3
    errors: list[Points] = []
    for shard in manifest.of("val"):
        rows = read_shard(join(dataset, shard.path), manifest.shape)
        truth = rows["landmarks"]
        points = predict(experts, rows["image"], manifest.scheme)[0]
        laid = laid_onto(
            points, np.where(often[:, None], np.float32(np.nan), truth)
        )  # as in a row that has gaps
        errors.append(np.where(often[:, None], laid, points) - truth)
    if not errors:
        return (config.typical,) * manifest.shape.points
    square = np.concatenate(errors) ** 2
    known = np.isfinite(square).all(-1)
    return tuple(
        float(np.sqrt(square[known[:, k], k].mean())) if known[:, k].sum() >= 5 else config.typical
        for k in range(square.shape[1])
    )


@dataclass(frozen=True)
class Round:
    """One round: the dataset it made, who predicted, seconds of training and of the prediction pass."""

    dataset: str
    experts: tuple[Expert, ...]
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
        train: (dataset, name of the run) → path of the checkpoint.
        runner: for the prediction passes.
        config: see `FillConfig`.
        overwrite: replace a dataset at `output`.
        report: called after each round with its number, from 1.

    Raises:
        FakeitError: nothing is missing, or a dataset or model that cannot be read.
    """
    points = gaps(dataset)
    if not points:
        raise FakeitError(f"dataset {dataset}: no training row lacks a point, there is nothing to fill in")
    rounds: list[Round] = []
    current = dataset
    for number in range(1, config.rounds + 1):
        started = time.monotonic()
        experts = _experts(current, points, join(scratch, f"round-{number}"), number, train, runner, config)
        trained = time.monotonic()
        last = number == config.rounds
        target = output if last else join(scratch, f"round-{number}", "filled")
        change = Fill(experts, manifests.load(dataset).scheme, usual_errors(dataset, experts, config), config)
        note = _Note(config, number, experts, change.floor)
        made = rewrite(dataset, target, change, runner, note, overwrite or not last)
        told = note(made.facts)["fill_in"]
        ended = time.monotonic()
        rounds.append(
            Round(
                target, experts, trained - started, ended - trained, told["filled"], told["missing"], told["confidence"]
            )
        )
        report(number, rounds[-1])
        current = target
    return rounds


def gaps(dataset: str) -> list[int]:
    """The points that some training row lacks."""
    return [int(k) for k in np.flatnonzero(missing_share(dataset))]


def missing_share(dataset: str) -> NDArray[np.float64]:
    """(K,) share of the training rows that lack each point."""
    manifest = manifests.load(dataset)
    lacking, rows = np.zeros(manifest.shape.points), 0
    for shard in manifest.of("train"):
        landmarks = read_shard(join(dataset, shard.path), manifest.shape)["landmarks"]
        lacking += (~np.isfinite(landmarks).all(-1)).sum(0)
        rows += len(landmarks)
    return lacking / max(rows, 1)


def _experts(
    dataset: str,
    points: Sequence[int],
    folder: str,
    number: int,
    train: Callable[[str, str], str],
    runner: Runner,
    config: FillConfig,
) -> tuple[Expert, ...]:
    if config.models == "one":
        return (Expert(train(dataset, f"round-{number}")),)
    names = scheme(manifests.load(dataset).scheme).names
    experts = []
    for point in points:
        alone = join(folder, names[point])
        rewrite(dataset, alone, Only(point), runner, lambda facts, p=point: {"only": names[p]}, overwrite=True)  # type: ignore[misc]
        experts.append(Expert(train(alone, f"round-{number}-{names[point]}"), (point,)))
    return tuple(experts)


@dataclass(frozen=True)
class _Note:
    """What the manifest's conf says of a filled dataset."""

    config: FillConfig
    number: int
    experts: tuple[Expert, ...]
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
                "models": [Path(expert.path).name for expert in self.experts],
            }
        }


def trainer(config: TrainConfig, scratch: str) -> Callable[[str, str], str]:
    """How a round's models are trained: alone in this process, from the same start, tracked under their own names.

    Args:
        config: of each training; its tracking's experiment is kept.
        scratch: the runs lie below it; an older run of the same name is replaced.
    """

    def train(dataset: str, name: str) -> str:
        from model.comm import connect
        from model.training import train

        output = Path(scratch) / "runs" / name
        shutil.rmtree(output, ignore_errors=True)
        tracking = replace(config.tracking, run=f"fill-in {name}", model=False)
        comm = connect(config.comm)
        try:
            return str(train(replace(config, tracking=tracking), dataset, output, comm).best.absolute())
        finally:
            comm.close()

    return train
