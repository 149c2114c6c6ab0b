"""Predictions held against labels in as many ways as wanted: with and without an adapter, by group, by point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.evaluation import metrics
from fakeit.model.evaluation.metrics import Floats, Scores
from fakeit.model.evaluation.predictions import PredictionSet
from fakeit.model.inference.adapter import JAW_CONTOUR, Adapter, identity, sample_hash
from fakeit.model.inference.adapter_fit import fit_adapter
from fakeit.model.inference.backends import NEAR, SigmaFit, confidence
from fakeit.model.inference.calibration import Reliability, fit_sigma, reliability
from fakeit.model.inference.found import Faces
from fakeit.model.inference.landmarker import Landmarker
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import convert, mapping, scheme
from fakeit.pipelines.sources import Sample


@dataclass(frozen=True)
class Evaluation:
    """All figures of one model on one benchmark, one way.

    Attributes:
        title: which way: boxes, adapter.
        scheme: in which points were compared.
        normaliser: of every NME here.
        scores: over all faces; floor: of the mean shape in the true box.
        regions, points: mean NME in percent.
        groups: attribute, pose bin or skin tone → scores.
        videos: name → (scores, jitter in percent); empty for pictures.
        reliability: "confidence" and "visibility", where the model gives them and the labels can tell.
        errors: (N,) each face's NME; predicted: (N, K, 2) in `scheme`, what was scored.
    """

    title: str
    scheme: str
    normaliser: str
    scores: Scores
    floor: Scores
    regions: dict[str, float]
    points: Floats
    groups: dict[str, Scores]
    videos: dict[str, tuple[Scores, float]]
    reliability: dict[str, Reliability]
    errors: Floats = field(repr=False)
    predicted: Floats = field(repr=False)
    truth: Floats = field(repr=False)


def common_scheme(model: str, truth: str) -> str:
    """The richest scheme that both can be mapped to: the truth's own if possible.

    Raises:
        FakeitError: there is none.
    """
    for candidate in (truth, "ibug68", "kaggle15", "five"):
        try:
            mapping(model, candidate)
            mapping(truth, candidate)
            return candidate
        except FakeitError:
            continue
    raise FakeitError(f"points of {model} and {truth} have no scheme in common; an adapter can bridge them")


def check_comparable(model: str, truth: str, adapter: Adapter | None) -> None:
    """Refuses, before any face is read, labels of scheme `truth` that neither a model's points (scheme `model`) nor
    its adapter's can be held against. Raises FakeitError naming both."""
    if adapter is None:
        common_scheme(model, truth)
        return
    try:
        mapping(truth, adapter.target)
    except FakeitError as error:
        fitting = f"evaluate without it, or with an adapter to {truth}"
        raise FakeitError(
            f"adapter '{adapter.name}' gives {adapter.target}, the labels are {truth}; {fitting}"
        ) from error


def without_adapter(collected: PredictionSet) -> tuple[Floats, Floats, str]:
    """Predictions and truth in a common scheme, without a fitted adapter: (N, K, 2) twice, and the scheme. Where that
    is `ibug68`, whose jaw is an outline, and the network gives dense points, its jaw is that outline too."""
    common = common_scheme(collected.model_scheme, collected.truth_scheme)
    if (collected.model_scheme, common) == (JAW_CONTOUR.source, JAW_CONTOUR.target):
        points = applied(JAW_CONTOUR, collected, np.arange(len(collected.truth)))
    else:
        points = np.asarray(convert(collected.said.points, collected.model_scheme, common), np.float64)
    return (
        points,
        np.asarray(convert(collected.truth, collected.truth_scheme, common), np.float64),
        common,
    )


def with_adapter(collected: PredictionSet, adapter: Adapter, folds: int = 5) -> tuple[Floats, Floats, str, str]:
    """The same through an adapter, and a note. Where it was fitted on some of these very faces, each face goes instead
    through one that is fitted on the others only."""
    own = {sample_hash(identity(s)) for s in collected.samples}
    seen = set(adapter.samples) & (own | {sample_hash(s.image) for s in collected.samples})  # as adapters once said it
    if seen:
        points, truth, name = cross_validated_points(collected, folds)
        note = f"adapter cross-validated ({folds} folds): it was fitted on {len(seen)} of these faces"
        return points, truth, name, note
    truth = np.asarray(convert(collected.truth, collected.truth_scheme, adapter.target), np.float64)
    points = applied(adapter, collected, np.arange(len(truth)))
    return points, truth, adapter.target, f"adapter '{adapter.name}', fitted on {adapter.fitted_on}"


def cross_validated_points(collected: PredictionSet, folds: int = 5) -> tuple[Floats, Floats, str]:
    """Points through adapters that never saw the face they are used on. Faces are dealt to folds in blocks of their
    order, so that neighbours (pictures of one person, frames of one video) mostly stay together."""
    truth = np.asarray(collected.truth, np.float64)
    count = len(truth)
    fold = np.arange(count) * folds // count
    points = np.full_like(truth, np.nan)
    for held in range(folds):
        rest, out = fold != held, fold == held
        made = fit_label_adapter(collected, "cross-validated", "", rest)[0]
        points[out] = applied(made, collected, np.flatnonzero(out))
    return points, truth, collected.truth_scheme


def applied(adapter: Adapter, collected: PredictionSet, rows: NDArray[np.integer]) -> Floats:
    """(len(rows), K', 2): the points of some faces through an adapter."""
    said = collected.said
    beside = (said.log_sigma, said.dense)
    made = [adapter.apply(said.points[i], *(None if b is None else b[i] for b in beside)) for i in rows]
    return np.array(made, np.float64)


def fit_label_adapter(
    collected: PredictionSet, name: str, fitted_on: str, chosen: NDArray[np.bool_] | None = None
) -> tuple[Adapter, float]:
    """An adapter from the model's points to the source's labels, on all faces or the chosen ones; see `fit_adapter`."""
    rows = np.flatnonzero(np.ones(len(collected.truth), bool) if chosen is None else chosen)
    return fit_adapter(
        collected.said.chosen(rows),
        collected.truth[rows],
        collected.model_scheme,
        collected.truth_scheme,
        name,
        fitted_on,
        [identity(collected.samples[i]) for i in rows],
        mirrored=None if collected.mirrored is None else collected.mirrored.chosen(rows),
    )


def evaluate(
    collected: PredictionSet,
    points: Floats,
    truth: Floats,
    scheme_name: str,
    normaliser: str,
    title: str,
    video: bool = False,
    sigma_fit: SigmaFit | None = None,
) -> Evaluation:
    """Every figure for predicted points (N, K, 2) against truth (N, K, 2), both in `scheme_name`, source pixels.
    `sigma_fit` is of the confidence in these points; None: the model's own."""
    length = metrics.normaliser(truth, scheme_name, normaliser)
    errors = metrics.face_errors(points, truth, length)
    missing = int((~np.isfinite(points).all(axis=(1, 2))).sum())
    mse = metrics.mean_squared_error(points, truth, collected.crop_side)
    floor = metrics.mean_shape_floor(truth)
    floor_mse = metrics.mean_squared_error(floor, truth, collected.crop_side)
    groups = metrics.by_attribute(errors, [_labels(s) for s in collected.samples])
    yaw = metrics.yaw_degrees(truth, scheme_name)
    if yaw is not None:
        groups |= metrics.by_yaw(errors, yaw)
    groups |= metrics.by_skin_tone(errors, collected.skin)
    if collected.seen is not None:
        groups |= metrics.by_hidden(errors, collected.seen)
    return Evaluation(
        title,
        scheme_name,
        normaliser,
        metrics.summarise(errors, missing, mse),
        metrics.summarise(metrics.face_errors(floor, truth, length), 0, floor_mse),
        metrics.by_region(points, truth, length, scheme_name),
        metrics.by_point(points, truth, length),
        groups,
        _videos(collected, points, truth, length, errors) if video else {},
        _reliability(collected, points, truth, scheme_name, sigma_fit),
        errors,
        points,
        truth,
    )


def _reliability(
    collected: PredictionSet, points: Floats, truth: Floats, name: str, sigma_fit: SigmaFit | None
) -> dict[str, Reliability]:
    """Of the confidence, and of the visibility where the labels know it, over points labelled and found."""
    found = np.isfinite(points).all(axis=2) & np.isfinite(truth).all(axis=2)
    apart = metrics.distances(points, truth) / collected.crop_side[:, None]
    made: dict[str, Reliability | None] = {}
    fit = sigma_fit or collected.sigma_fit
    unsure = _carried(collected.said.log_sigma, collected.model_scheme, name)
    if unsure is not None:
        made["confidence"] = reliability(confidence(unsure, fit)[found], apart[found] < NEAR)
    said = _carried(collected.visibility, collected.model_scheme, name)
    if said is not None and collected.seen is not None:
        truly = _carried(collected.seen.astype(np.float32), collected.truth_scheme, name)
        if truly is not None:
            made["visibility"] = reliability(said[found], truly[found] > 0.5)
    return {key: value for key, value in made.items() if value is not None}


def fit_sigma_fit(collected: PredictionSet, points: Floats, truth: Floats, name: str) -> SigmaFit:
    """What makes the confidence in these points (N, K, 2) of scheme `name` truest."""
    found = np.isfinite(points).all(axis=2) & np.isfinite(truth).all(axis=2)
    unsure = _carried(collected.said.log_sigma, collected.model_scheme, name)
    if unsure is None:
        raise FakeitError("this network gives no σ")
    near = metrics.distances(points, truth) / collected.crop_side[:, None] < NEAR
    return fit_sigma(unsure[found], near[found])


def _carried(values: NDArray[np.floating] | None, source: str, target: str) -> NDArray[np.float32] | None:
    """(N, K) a number for each point of one scheme → (N, K') of another, None where no points match."""
    try:
        return None if values is None else convert(values[..., None], source, target)[..., 0].astype(np.float32)
    except FakeitError:
        return None


def _labels(sample: Sample) -> Mapping[str, Any]:
    return {k: v for k, v in sample.attributes.items() if k not in ("video", "frame")}


def _videos(
    collected: PredictionSet, points: Floats, truth: Floats, length: Floats, errors: Floats
) -> dict[str, tuple[Scores, float]]:
    rows: dict[str, list[int]] = {}
    for index, sample in enumerate(collected.samples):
        rows.setdefault(str(sample.attributes.get("video", "")), []).append(index)
    return {
        name: (metrics.summarise(errors[i]), metrics.jitter(points[i], truth[i], length[i]))
        for name, i in sorted(rows.items())
    }


def agreement(landmarker: Landmarker, seen: Faces, angle: float | None = None) -> float:
    """How well a model agrees with itself on a picture without labels: its points on the mirrored (angle None) or
    turned picture, brought back, against those that it has `seen` on the picture as it is.

    Returns:
        Mean distance over the distance of the outer eye corners, percent; NaN where either has no face.
    """
    import cv2

    if not seen:
        return float("nan")
    height, width = seen.pixels.shape[:2]
    if angle is None:
        changed = np.ascontiguousarray(seen.pixels[:, ::-1])
    else:
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        turned = cv2.warpAffine(seen.pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        changed = np.asarray(turned, np.uint8)
    again = landmarker(changed)
    if not again:
        return float("nan")
    points, back = seen[0].points, again[0].points
    if angle is None:
        back = (np.array([width - 1, 0]) + back * np.array([-1, 1]))[list(scheme(seen.scheme).flip)]
    else:
        back = (back - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    length = metrics.normaliser(points[None], seen.scheme, "inter-ocular")[0]
    return 100 * float(np.linalg.norm(points - back, axis=1).mean() / length)
