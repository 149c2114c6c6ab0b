"""How the missing points of one shard are predicted: what several models say, laid onto the points that are known.

Confidence comes from two things that need no label of the point: how far the models and their answers to the mirrored
crop lie apart, and how far off each point usually is. The changes of shards here are pure (pipelines.flows.rewrite).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.adapter import alignment
from fakeit.model.inference.backends import Backend, confidence, open_backend, run_mirrored
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import join
from fakeit.pipelines.flows.rewrite import Facts
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.schema import Rows
from fakeit.pipelines.store.shards import read_columns, read_shard

Points = NDArray[np.float32]
BATCH = 64


@dataclass(frozen=True)
class FillConfig:
    """How gaps are filled.

    Attributes:
        rounds: of training and filling.
        models: "one" with a masked loss, or "each": one for every point that has gaps.
        min_confidence: points of less confidence stay missing.
        pseudo_label_weight: the weight of a filled point of confidence 1; labels weigh 1.
        typical: unit crop, the error assumed where no validation row can tell.
    """

    rounds: int = 2
    models: Literal["one", "each"] = "one"
    min_confidence: float = 0.2
    pseudo_label_weight: float = 0.5
    typical: float = 0.03

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise FakeitError(f"fill.rounds is {self.rounds}; at least 1 is needed")
        if not (0 <= self.min_confidence < 1 and 0 < self.pseudo_label_weight < 1):
            raise FakeitError(
                f"--min-confidence is {self.min_confidence} and --pseudo-label-weight {self.pseudo_label_weight}; "
                "both must lie in 0 to 1, since a filled point may never weigh as much as a label"
            )


@dataclass(frozen=True)
class Predictor:
    """A trained model and the points it answers for (None: all)."""

    path: str
    points: tuple[int, ...] | None = None


@lru_cache(maxsize=32)
def _backend(path: str) -> Backend:
    return open_backend(Path(path))  # once for each executor process


def predict(predictors: Sequence[Predictor], images: NDArray[np.uint8], scheme_name: str) -> tuple[Points, Points]:
    """What the predictors say about crops, each crop also mirrored.

    Args:
        predictors: at least one for every point.
        images: (N, H, W, C) uint8 crops as the predictors' datasets have them.
        scheme_name: of the points.

    Returns:
        (N, K, 2) mean points, unit crop, and (N, K) their spread: the root mean square distance from it.
    """
    flip = list(scheme(scheme_name).flip)
    votes: list[list[Points]] = [[] for _ in flip]
    for predictor in predictors:
        backend = _backend(predictor.path)
        if backend.metadata.scheme != scheme_name:
            raise FakeitError(
                f"model {predictor.path} gives {backend.metadata.scheme} points, the dataset has {scheme_name}"
            )
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        straight = np.concatenate([backend.run(batch)[0] for batch in batches])
        mirrored = np.concatenate([run_mirrored(backend, batch)[0] for batch in batches])
        own = range(len(flip)) if predictor.points is None else predictor.points
        for index in own:
            votes[index].append(straight[:, index])
            if predictor.points is None or flip[index] in predictor.points:  # its twin may be another predictor's
                votes[index].append(mirrored[:, index])
    means = np.full((len(images), len(flip), 2), np.nan, np.float32)
    spread = np.zeros((len(images), len(flip)), np.float32)
    for index, said in enumerate(votes):
        if said:
            stacked = np.stack(said)
            means[:, index] = stacked.mean(0)
            spread[:, index] = np.sqrt(((stacked - means[:, index]) ** 2).sum(-1).mean(0))
    return means, spread


@dataclass(frozen=True)
class ImputeMissing:
    """The change of one shard (pipelines.flows.rewrite): gaps of training rows → predicted points and their confidence.

    Attributes:
        predictors: who predicts; files that every executor can read.
        scheme: of the dataset.
        floor: (K,) each point's usual error, unit crop.
        config: see `FillConfig`.
    """

    predictors: tuple[Predictor, ...]
    scheme: str
    floor: tuple[float, ...]
    config: FillConfig

    def __call__(self, rows: Rows, split: str) -> tuple[Rows, Facts]:
        missing = ~np.isfinite(rows["landmarks"]).all(-1)
        names = scheme(self.scheme).names
        if split != "train" or not missing.any():
            return rows, {"split": split, "filled": {}, "missing": 0, "confidence": 0.0}
        points, trust = self.answers(rows["image"], rows["landmarks"])
        chosen = missing & (trust >= self.config.min_confidence) & np.isfinite(points).all(-1)
        filled = {names[i]: int(chosen[:, i].sum()) for i in np.flatnonzero(chosen.any(0))}
        facts = {"split": split, "filled": filled, "missing": int(missing.sum())}
        facts["confidence"] = float(trust[chosen].sum())
        landmarks = np.where(chosen[..., None], points, rows["landmarks"])
        weight = np.where(chosen, self.config.pseudo_label_weight * trust, rows["weight"]).astype(np.float32)
        return {**rows, "landmarks": landmarks.astype(np.float32), "weight": weight}, facts

    def answers(self, images: NDArray[np.uint8], known: Points) -> tuple[Points, Points]:
        """(N, K, 2) predicted points laid onto the `known` ones, unit crop, and (N, K) confidence in [0, 1]."""
        points, spread = predict(self.predictors, images, self.scheme)
        points = align_to_known(points, known)
        sigma = np.sqrt(spread**2 / 2 + np.array(self.floor, np.float32) ** 2)  # of one axis
        return points, confidence(np.log(np.maximum(sigma, 1e-6)))


def count_missing(dataset: str, path: str) -> tuple[NDArray[np.float64], int]:
    """(K,) how many rows of one shard lack each point, and its rows. Reads no pixels."""
    shape = manifests.load(dataset).shape
    landmarks = read_columns(join(dataset, path), shape, ["landmarks"])["landmarks"]
    return (~np.isfinite(landmarks).all(-1)).sum(0).astype(np.float64), len(landmarks)


@dataclass(frozen=True)
class ShardErrors:
    """How far predictors are off on one shard whose points are known.

    Attributes:
        dataset, scheme: of the shard. predictors: who predicts; files that every executor can read.
        often: (K,) whether training rows often lack the point: it is then judged as in a row that has gaps.
    """

    dataset: str
    scheme: str
    predictors: tuple[Predictor, ...]
    often: tuple[bool, ...]

    def __call__(self, path: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(K,) Σ of squares of an axis' error, unit crop, and (K,) how many known points."""
        rows = read_shard(join(self.dataset, path), manifests.load(self.dataset).shape)
        truth, often = rows["landmarks"], np.array(self.often)[:, None]
        points = predict(self.predictors, rows["image"], self.scheme)[0]
        laid = align_to_known(points, np.where(often, np.float32(np.nan), truth))
        square = (np.where(often, laid, points) - truth).astype(np.float64) ** 2
        known = np.isfinite(square).all(-1)
        return np.where(known, square.mean(-1), 0.0).sum(0), known.sum(0).astype(np.float64)


@dataclass(frozen=True)
class SinglePoint:
    """The change that leaves the loss of one point alone: the dataset for its own model."""

    point: int

    def __call__(self, rows: Rows, split: str) -> tuple[Rows, Facts]:
        weight = np.zeros_like(rows["weight"])
        weight[:, self.point] = rows["weight"][:, self.point]
        landmarks = np.where(weight[..., None] > 0, rows["landmarks"], np.float32(np.nan))
        return {**rows, "weight": weight, "landmarks": landmarks}, {}


def align_to_known(predicted: Points, known: Points) -> Points:
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
