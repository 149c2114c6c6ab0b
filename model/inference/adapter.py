"""The label adapter: from the points a network learnt to the points a benchmark labels.

Synthetic points are projections of points of a 3D face; people label what they see, a cheek's contour for the jaw. The
difference is systematic, so a small ridge regression, fitted on a few hundred labelled faces, removes most of it
(Wood et al. 2021, https://arxiv.org/abs/2109.15102, use the same idea). It looks only at the predicted points, turned,
moved and scaled onto a mean shape, and says how far each point is to be moved there. It is stored beside the model
and named when wanted; results are given with and without. It is never fitted on what it is scored on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.file_names import is_picture
from fakeit.pipelines.landmarks import convert, scheme
from fakeit.pipelines.sources import Sample
from fakeit.pipelines.storage import write_atomically

Array = NDArray[np.float64]
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Adapter:
    """A fitted map of points.

    Attributes:
        name: how it is asked for.
        source, target: schemes of the points that go in and come out.
        mean: (K, 2) mean shape of `source`, centred, of unit root-mean-square distance from its centre.
        weights: (2K + 1, 2K') from the aligned points' offsets from `mean` (and a constant 1) to moves.
        strength: of the ridge penalty, chosen by cross-validation.
        fitted_on: what it was fitted on, for reports.
        faces: how many.
        samples: hashed names of those faces, so that scoring can tell when it would score what was fitted.
    """

    name: str
    source: str
    target: str
    mean: Array
    weights: Array
    strength: float = 0.0
    fitted_on: str = ""
    faces: int = 0
    samples: tuple[str, ...] = ()

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Points (K, 2) of `source` → (K', 2) of `target`, in the same frame (any frame: it is similarity-free)."""
        if not np.isfinite(points).all():
            return base_points(points, self.source, self.target).astype(np.float32)
        turn, centre = alignment(points, self.mean)
        aligned = (points - centre) @ turn
        moves = (_features(aligned, self.mean) @ self.weights).reshape(-1, 2)
        moved = base_points(aligned, self.source, self.target) + moves
        return (moved @ np.linalg.inv(turn) + centre).astype(np.float32)

    def confidence(self, confidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """(K,) of the source's points → (K',) of the target's."""
        try:
            return convert(confidence[:, None], self.source, self.target)[:, 0].astype(np.float32)
        except FakeitError:
            return np.full(scheme(self.target).count, confidence.mean(), np.float32)

    def save(self, path: str | Path) -> None:
        """Writes the adapter as a `.npz` of plain float32 arrays and one JSON text, whole or not at all.

        Raises:
            OSError: the place cannot be written.
        """
        about = {k: getattr(self, k) for k in ("name", "source", "target", "strength", "fitted_on", "faces", "samples")}
        with write_atomically(str(path)) as file:
            np.savez_compressed(
                file,
                about=json.dumps(about),
                mean=self.mean.astype(np.float32),
                weights=self.weights.astype(np.float32),
            )


def alignment(points: NDArray[np.floating], mean: Array) -> tuple[Array, Array]:
    """The similarity that lays points (K, 2) onto `mean`: a (2, 2) matrix for row vectors and the centre to subtract
    before it (Umeyama 1991, in two dimensions, without mirroring)."""
    centre = points.mean(axis=0, dtype=np.float64)
    offset = points - centre
    spread = max(float((offset**2).sum()), 1e-12)
    a = float((offset * mean).sum()) / spread
    b = float((offset[:, 0] * mean[:, 1] - offset[:, 1] * mean[:, 0]).sum()) / spread
    return np.array([[a, b], [-b, a]]), centre


def mean_shape(shapes: Array, rounds: int = 4) -> Array:
    """The generalised Procrustes mean of shapes (N, K, 2), centred, of unit root-mean-square size, upright as the
    shapes are on average."""
    mean = _unit(shapes.mean(axis=0))
    for _ in range(rounds):
        aligned = []
        for shape in shapes:
            turn, centre = alignment(shape, mean)
            aligned.append((shape - centre) @ turn)
        mean = _unit(np.mean(aligned, axis=0))
    return mean


def _unit(shape: Array) -> Array:
    centred = shape - shape.mean(axis=0)
    return np.asarray(centred / np.sqrt((centred**2).sum(axis=1).mean()), np.float64)


def base_points(points: NDArray[np.floating], source: str, target: str) -> NDArray[np.floating]:
    """What the adapter starts from: the plain mapping of schemes, or zeros (the aligned centre) where there is none."""
    try:
        return convert(points, source, target)
    except FakeitError:
        return np.zeros((scheme(target).count, 2))


def _features(aligned: Array, mean: Array) -> Array:
    return np.append((aligned - mean).ravel(), 1.0)


def _system(predicted: Array, truth: Array, source: str, target: str, mean: Array) -> tuple[Array, Array, Array]:
    """Features (N, F), wanted moves (N, 2K') with zeros where the truth is missing, and what is labelled (N, 2K')."""
    rows, moves = [], []
    for points, wanted in zip(predicted, truth, strict=True):
        turn, centre = alignment(points, mean)
        aligned = (points - centre) @ turn
        rows.append(_features(aligned, mean))
        moves.append(((wanted - centre) @ turn - base_points(aligned, source, target)).ravel())
    labelled = np.isfinite(np.array(moves))
    return np.array(rows), np.nan_to_num(np.array(moves)), labelled


def _ridge(features: Array, moves: Array, labelled: Array, strengths: Sequence[float]) -> list[Array]:
    """Weights (F, 2K') for each strength. The constant (the last feature) is not penalised. A point that some faces
    lack is fitted on the others."""
    weights = [np.zeros((features.shape[1], moves.shape[1])) for _ in strengths]
    patterns, group = np.unique(labelled, axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        columns = np.flatnonzero(group.ravel() == number)
        inputs, wanted = features[rows, :-1], moves[np.ix_(rows, columns)]
        if not len(inputs):
            continue
        middle, height = inputs.mean(axis=0), wanted.mean(axis=0)
        inputs = inputs - middle
        values, vectors = np.linalg.eigh(inputs.T @ inputs)  # once for all strengths
        turned = vectors.T @ (inputs.T @ (wanted - height))
        for one, strength in zip(weights, strengths, strict=True):
            slopes = vectors @ (turned / (np.maximum(values, 0) + strength)[:, None])
            one[:-1, columns] = slopes
            one[-1, columns] = height - middle @ slopes
    return weights


def fit_adapter(
    predicted: NDArray[np.floating],
    truth: NDArray[np.floating],
    source: str,
    target: str,
    name: str,
    fitted_on: str = "",
    samples: Sequence[str] = (),
    folds: int = 5,
    outlier: float = 0.25,
) -> tuple[Adapter, float]:
    """Fits an adapter, its strength chosen by cross-validation.

    Args:
        predicted: (N, K, 2) the network's points, source pixels.
        truth: (N, K', 2) the labels of the same faces, NaN where missing.
        source: scheme of `predicted`.
        target: scheme of `truth`.
        name: how it will be asked for.
        fitted_on: what the faces are.
        samples: their names.
        folds: of the cross-validation; mirrored twins stay in one fold.
        outlier: faces whose mean move is above this share of the face's size are wrong detections and left out.

    Returns:
        The adapter and the mean error left over in cross-validation, as a share of the error without it.

    Raises:
        FakeitError: fewer than 20 faces.
    """
    finite = np.isfinite(predicted).all(axis=(1, 2))
    predicted, truth = np.asarray(predicted, np.float64)[finite], np.asarray(truth, np.float64)[finite]
    if len(predicted) < 20:
        raise FakeitError(f"{len(predicted)} labelled faces with points; fitting an adapter needs 20 or more")
    predicted, truth = _with_mirrored(predicted, truth, source, target)
    mean = mean_shape(predicted)
    features, moves, labelled = _system(predicted, truth, source, target, mean)
    size = np.sqrt((moves.reshape(len(moves), -1, 2) ** 2).sum(axis=2)).mean(axis=1)
    good = size < max(outlier, float(np.median(size)) * 5)
    features, moves, labelled = features[good], moves[good], labelled[good]
    half = len(good) // 2
    fold = (np.arange(len(good)) % half % folds)[good]  # face i and its mirrored twin i + half share a fold
    before = _error(moves, labelled)
    left = _crossed(features, moves, labelled, fold)
    best = STRENGTHS[int(np.argmin(left))]
    weights = _ridge(features, moves, labelled, (best,))[0]
    hashed = tuple(sample_hash(s) for s in samples)
    made = Adapter(name, source, target, mean, weights, best, fitted_on, int(good.sum() // 2), hashed)
    return made, min(left) / max(before, 1e-12)


def _crossed(features: Array, moves: Array, labelled: Array, fold: NDArray[np.int_]) -> list[float]:
    """The error left over for each of STRENGTHS, every face through a fit that never saw it."""
    rest = [np.zeros_like(moves) for _ in STRENGTHS]
    for held in np.unique(fold):
        fit, out = fold != held, fold == held
        for one, weights in zip(rest, _ridge(features[fit], moves[fit], labelled[fit], STRENGTHS), strict=True):
            one[out] = moves[out] - features[out] @ weights
    return [_error(one, labelled) for one in rest]


def _error(moves: Array, labelled: Array) -> float:
    """Mean length of the moves of labelled points."""
    present = labelled.reshape(len(labelled), -1, 2).all(axis=2)
    return float(np.linalg.norm(moves.reshape(len(moves), -1, 2), axis=2)[present].mean())


def _with_mirrored(predicted: Array, truth: Array, source: str, target: str) -> tuple[Array, Array]:
    """Every face and its mirror image: a face has no preferred side, and the fit gets twice the data."""
    mirror = np.array([-1.0, 1.0])
    return (
        np.concatenate([predicted, predicted[:, list(scheme(source).flip)] * mirror]),
        np.concatenate([truth, truth[:, list(scheme(target).flip)] * mirror]),
    )


def load_adapter(path: str | Path) -> Adapter:
    """Raises FakeitError naming the file and what is wrong with it."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            mean, weights = stored["mean"].astype(np.float64), stored["weights"].astype(np.float64)
            return Adapter(mean=mean, weights=weights, **{**about, "samples": tuple(about["samples"])})
    except FileNotFoundError as error:
        raise FakeitError(f"adapter {path}: no such file") from error
    except Exception as error:  # numpy, zipfile and zlib raise whatever damaged bytes lead them to
        raise FakeitError(f"adapter {path}: not an adapter file ({error})") from error


def identity(sample: Sample) -> str:
    """What a sample is called wherever its dataset lies: its picture's file name; of a row of a table or a frame of a
    video, which share a file, the end of its id too."""
    name = os.path.basename(sample.image)
    return name if is_picture(name) else f"{name}#{'|'.join(sample.id.split('/')[-2:])}"


def sample_hash(name: str) -> str:
    """8 hex digits of a sample's file name."""
    return hashlib.sha256(os.path.basename(name).encode()).hexdigest()[:8]


def adapter_path(model: str | Path, name: str) -> Path:
    """Where the adapter called `name` of a model is stored."""
    model = Path(model)
    return model.with_name(f"{model.stem}.adapter-{name}.npz")


def stored_names(model: str | Path) -> Sequence[str]:
    """The adapters beside a model."""
    model = Path(model)
    prefix = f"{model.stem}.adapter-"
    return sorted(p.name[len(prefix) : -len(".npz")] for p in model.parent.glob(f"{prefix}*.npz"))


def beside(asked: str | Path, model: Path) -> Adapter:
    """The adapter asked for: a file, or the name of one beside the model."""
    if str(asked).endswith(".npz"):
        return load_adapter(asked)
    path, known = adapter_path(model, str(asked)), stored_names(model)
    if not path.is_file():
        there = f"beside this model: {', '.join(known) or 'none'}"
        raise FakeitError(f"adapter '{asked}': {path} is missing ({there}){nearest(str(asked), known)}")
    return load_adapter(path)
