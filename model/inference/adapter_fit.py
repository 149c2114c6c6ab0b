"""Fitting the label adapter: a ridge on labelled faces and their mirror images, its strength chosen on these faces.

Every face comes with its mirror image, since a face has no preferred side: with what the network says of the mirrored
picture where that is known, else with the mirrored points. With the network's own word, one thing shows that mirroring
undoes: labels that lie some pixels to the right on every picture, whatever the face's size (docs/LOG.md, "A shift of
the labels"). In the mirrored picture they lie to the left; no shape of a face tells the two apart, so it is a number of
its own in the adapter, and the ridge sees labels without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.adapter import Adapter, Array, alignment, base_points, features, sample_hash
from fakeit.model.inference.backends import AS_TOLD, NEAR, SigmaFit
from fakeit.model.inference.calibration import fit_sigma
from fakeit.pipelines.dense_points import dense_mirror
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
OUTLIER = 0.25  # faces whose mean move is above this share of the face's size are wrong detections and left out
MIRROR = np.array([-1.0, 1.0])


@dataclass(frozen=True)
class Seen:
    """What a network says of N faces.

    Attributes:
        points: (N, K, 2) source pixels, NaN where it found none.
        log_sigma: (N, K) of its crops, or None.
        crop_side: (N,) of those crops, source pixels, or None where not known.
        dense: (N, 400, 2) the dense points, source pixels, or None.
    """

    points: NDArray[np.floating]
    log_sigma: NDArray[np.floating] | None = None
    crop_side: NDArray[np.floating] | None = None
    dense: NDArray[np.floating] | None = None

    def chosen(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Seen:
        """Some of the faces."""
        columns = (getattr(self, each.name) for each in fields(self))
        return Seen(*(None if column is None else column[rows] for column in columns))  # type: ignore[arg-type]

    def turned_over(self, source: str) -> Seen:
        """The same faces in pictures mirrored about x = 0."""
        order = list(scheme(source).flip)
        unsure = None if self.log_sigma is None else self.log_sigma[:, order]
        dense = None if self.dense is None else self.dense[:, dense_mirror()] * MIRROR
        return Seen(self.points[:, order] * MIRROR, unsure, self.crop_side, dense)


@dataclass(frozen=True)
class _System:
    """Faces as the ridge sees them, each followed N rows later by its mirror image.

    Attributes:
        features: (2N, F).
        moves: (2N, K', 2) wanted, aligned frame, zeros where the truth is missing.
        labelled: (2N, K') where it is not.
        pixel: (2N, 2) one pixel to the right of the picture as it was, in the aligned frame.
        unit: (2N,) length of a pixel there.
    """

    features: Array
    moves: Array
    labelled: NDArray[np.bool_]
    pixel: Array
    unit: Array

    def chosen(self, rows: NDArray[np.bool_]) -> _System:
        """Some of the rows."""
        features, moves, labelled = self.features[rows], self.moves[rows], self.labelled[rows]
        return _System(features, moves, labelled, self.pixel[rows], self.unit[rows])

    def rest(self, weights: Array, shift: float) -> Array:
        """(2N, K', 2) what is left of the wanted moves."""
        made = (self.features @ weights).reshape(self.moves.shape) + shift * self.pixel[:, None]
        return np.asarray(np.where(self.labelled[..., None], self.moves - made, 0.0), np.float64)


def fit_adapter(
    seen: Seen,
    truth: NDArray[np.floating],
    source: str,
    target: str,
    name: str,
    fitted_on: str = "",
    samples: Sequence[str] = (),
    folds: int = 5,
    mirrored: Seen | None = None,
) -> tuple[Adapter, float]:
    """Fits an adapter, its strength chosen by cross-validation.

    Args:
        seen: what the network says of N faces.
        truth: (N, K', 2) the labels of the same faces, source pixels, NaN where missing.
        source: scheme of the network's points.
        target: scheme of `truth`.
        name: how it will be asked for.
        fitted_on: what the faces are.
        samples: their names.
        folds: of the cross-validation; mirrored twins stay in one fold.
        mirrored: what the network says of the mirrored pictures, brought back to the pictures as they are.

    Returns:
        The adapter and the mean error left over in cross-validation, as a share of the error without it.

    Raises:
        FakeitError: fewer than 20 faces.
    """
    words = (seen, mirrored) if mirrored else (seen,)
    finite = np.all([np.isfinite(each.points).all(axis=(1, 2)) for each in words], axis=0)
    if finite.sum() < 20:
        raise FakeitError(f"{finite.sum()} labelled faces with points; fitting an adapter needs 20 or more")
    seen, twin = seen.chosen(finite), (mirrored or seen).chosen(finite).turned_over(source)
    truth = np.asarray(truth, np.float64)[finite]
    mean = mean_shape(np.concatenate([seen.points, twin.points]).astype(np.float64))
    usual = np.zeros(0)
    if seen.log_sigma is not None and twin.log_sigma is not None:
        usual = np.concatenate([seen.log_sigma, twin.log_sigma]).mean(axis=0, dtype=np.float64)
    dense = np.zeros((0, 2))
    if seen.dense is not None and twin.dense is not None:
        dense = _aligned(seen, mean).mean(axis=0) / 2 + _aligned(twin, mean).mean(axis=0) / 2
    sides = [(seen, truth, 1.0), (twin, truth[:, list(scheme(target).flip)] * MIRROR, -1.0)]
    system = _stacked([_system(each, wanted, source, target, mean, usual, dense, sign) for each, wanted, sign in sides])
    size = np.linalg.norm(system.moves, axis=2).mean(axis=1)
    good = size < max(OUTLIER, float(np.median(size)) * 5)
    half = len(good) // 2
    fold = (np.arange(len(good)) % half % folds)[good]  # face i and its mirrored twin i + half share a fold
    system = system.chosen(good)
    rests = _crossed(system, fold, with_shift=mirrored is not None)
    left = [_error(rest, system.labelled) for rest in rests]
    best = int(np.argmin(left))
    shift = label_shift(system) if mirrored else 0.0
    weights = _ridge(system, shift, (STRENGTHS[best],))[0]
    fit = _sigma_fit(rests[best], system, seen, twin, good, source, target)
    made = Adapter(
        *(
            name,
            source,
            target,
            mean,
            weights,
            usual,
            dense,
            shift,
            fit,
            STRENGTHS[best],
            fitted_on,
            int(good.sum() // 2),
        ),
        tuple(sample_hash(s) for s in samples),
    )
    return made, left[best] / max(_error(system.moves, system.labelled), 1e-12)


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


def _aligned(seen: Seen, mean: Array) -> Array:
    """(N, 400, 2) the dense points, each face's laid onto `mean` as its points are."""
    assert seen.dense is not None
    placed = [(dense, *alignment(points, mean)) for points, dense in zip(seen.points, seen.dense, strict=True)]
    return np.array([(dense - centre) @ turn for dense, turn, centre in placed])


def _system(
    seen: Seen, truth: Array, source: str, target: str, mean: Array, usual: Array, dense: Array, sign: float
) -> _System:
    rows, moves, pixels, units = [], [], [], []
    for number, (points, wanted) in enumerate(zip(seen.points, truth, strict=True)):
        turn, centre = alignment(points, mean)
        aligned = (points - centre) @ turn
        unsure = None if seen.log_sigma is None else seen.log_sigma[number]
        spread = None if seen.dense is None else (seen.dense[number] - centre) @ turn
        rows.append(features(aligned, mean, unsure, usual, spread, dense))
        moves.append((wanted - centre) @ turn - base_points(aligned, source, target))
        pixels.append(sign * turn[0])
        units.append(float(np.hypot(*turn[0])))
    labelled = np.isfinite(np.array(moves)).all(axis=2)
    return _System(np.array(rows), np.nan_to_num(np.array(moves)), labelled, np.array(pixels), np.array(units))


def _stacked(parts: Sequence[_System]) -> _System:
    columns = ((p.features, p.moves, p.labelled, p.pixel, p.unit) for p in parts)
    return _System(*(np.concatenate(each) for each in zip(*columns, strict=True)))


def label_shift(system: _System, rounds: int = 3) -> float:
    """Source pixels by which labels lie to the right of what a strong ridge says: least squares of the faces' mean
    offsets, in shares of the face, turn about with the ridge."""
    shift = 0.0
    for _ in range(rounds):
        rest = system.rest(_ridge(system, shift, (1.0,))[0], 0.0)
        offset = rest.sum(axis=1) / np.maximum(system.labelled.sum(axis=1), 1)[:, None]
        shift = float((offset * system.pixel).sum() / (system.pixel**2).sum())
    return shift


def _ridge(system: _System, shift: float, strengths: Sequence[float]) -> list[Array]:
    """Weights (F, 2K') for each strength. The constant (the last feature) is not penalised. A point that some faces
    lack is fitted on the others."""
    moves = (system.moves - shift * system.pixel[:, None]).reshape(len(system.moves), -1)
    labelled = np.repeat(system.labelled, 2, axis=1)
    weights = [np.zeros((system.features.shape[1], moves.shape[1])) for _ in strengths]
    patterns, group = np.unique(labelled, axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        columns = np.flatnonzero(group.ravel() == number)
        inputs, wanted = system.features[rows, :-1], moves[np.ix_(rows, columns)]
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


def _crossed(system: _System, fold: NDArray[np.int_], with_shift: bool) -> list[Array]:
    """What is left over for each of STRENGTHS, every face through a fit that never saw it."""
    rests = [np.zeros_like(system.moves) for _ in STRENGTHS]
    for held in np.unique(fold):
        fit, out = system.chosen(fold != held), system.chosen(fold == held)
        shift = label_shift(fit) if with_shift else 0.0
        for one, weights in zip(rests, _ridge(fit, shift, STRENGTHS), strict=True):
            one[fold == held] = out.rest(weights, shift)
    return rests


def _error(moves: Array, labelled: NDArray[np.bool_]) -> float:
    """Mean length of the moves of labelled points."""
    return float(np.linalg.norm(moves, axis=2)[labelled].mean())


def _sigma_fit(
    rest: Array, system: _System, seen: Seen, twin: Seen, good: NDArray[np.bool_], source: str, target: str
) -> SigmaFit:
    """What makes the confidence in adapted points true on faces the fit did not see."""
    if seen.log_sigma is None or seen.crop_side is None:
        return AS_TOLD
    carry = Adapter("", source, target, np.zeros((0, 2)), np.zeros((0, 0))).carried
    unsure = np.array([carry(row) for row in np.concatenate([seen.log_sigma, twin.log_sigma])])[good]
    side = np.concatenate([seen.crop_side, seen.crop_side])[good]
    apart = np.linalg.norm(rest, axis=2) / system.unit[:, None] / side[:, None]
    return fit_sigma(unsure[system.labelled], apart[system.labelled] < NEAR)
