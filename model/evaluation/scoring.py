"""A landmarker held against a labelled source: predictions collected once, then scored in as many ways as wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fakeit.model.evaluation import metrics
from fakeit.model.evaluation.metrics import Floats, Scores
from fakeit.model.inference.adapter import Adapter, fit_adapter, identity, sample_hash
from fakeit.model.inference.landmarker import Landmarker
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.box_fit import box_fit
from fakeit.pipelines.landmarks import convert, mapping, scheme
from fakeit.pipelines.sources import Sample, Source, read_sample

Boxes = Literal["true", "detector"]


@dataclass(frozen=True)
class PredictionSet:
    """What a model says about a source's faces.

    Attributes:
        samples: the N faces that could be read.
        truth: (N, K', 2) labels in `truth_scheme`, source pixels, NaN where missing.
        predicted: (N, K, 2) in `model_scheme`, without adapter, NaN where no face was found.
        crop_side: (N,) side of the crop that the true box gives, source pixels: the unit of the MSE.
        skin: (N,) tone of the cheeks, `metrics.skin_tone`, NaN where not known.
        boxes: whether true boxes or a detector's were used.
        rejected: why some samples could not be read.
    """

    samples: tuple[Sample, ...]
    truth: NDArray[np.float32]
    truth_scheme: str
    predicted: NDArray[np.float32]
    model_scheme: str
    crop_side: Floats
    skin: Floats
    boxes: Boxes
    rejected: tuple[str, ...] = ()


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
    errors: Floats = field(repr=False)
    predicted: Floats = field(repr=False)
    truth: Floats = field(repr=False)


def collect(
    landmarker: Landmarker,
    source: Source,
    samples: Sequence[Sample],
    boxes: Boxes,
    progress: Callable[[int], None] | None = None,
) -> PredictionSet:
    """Runs the landmarker (without its adapter) over labelled samples.

    Args:
        landmarker: of any scheme.
        source: labelled.
        samples: of that source.
        boxes: "true": the tight box of the true points; "detector": as a user would have it, the detection that
            overlaps the true box most, or none.
        progress: is told how many are done.

    Raises:
        FakeitError: no sample could be read.
    """
    kept, truths, predictions, sides, tones, rejected = [], [], [], [], [], []
    missing = np.full((scheme(landmarker.metadata.scheme).count, 2), np.nan, np.float32)
    crop = landmarker.metadata.crop
    adapter, landmarker.adapter = landmarker.adapter, None
    try:
        for index, sample in enumerate(samples):
            try:
                annotation, pixels = read_sample(source, sample)
                truth = annotation.landmarks
                true_box = training_box(truth, source.scheme, landmarker.metadata.scheme)
                box = true_box if boxes == "true" else nearest_box(landmarker.detect(pixels), true_box)
            except Rejected as error:
                rejected.append(str(error))
                continue
            found = landmarker.predict_boxes(pixels, [box], 0 if boxes == "true" else None) if box else []
            kept.append(sample)
            truths.append(truth)
            predictions.append(found[0].points if found else missing)
            sides.append(true_box.side * (1 + 2 * crop.margin))
            tones.append(metrics.skin_tone(pixels, truth, source.scheme))
            if progress:
                progress(index + 1)
    finally:
        landmarker.adapter = adapter
    if not kept:
        raise FakeitError(f"none of {len(samples)} samples could be read; the first: {rejected[0]}")
    return PredictionSet(
        tuple(kept),
        np.stack(truths).astype(np.float32),
        source.scheme,
        np.stack(predictions),
        landmarker.metadata.scheme,
        np.array(sides),
        np.array(tones),
        boxes,
        tuple(rejected),
    )


def training_box(truth: NDArray[np.floating], source: str, model: str) -> Box:
    """The box that training would have used: tight around the points, or, where the source labels only eyes, nose and
    mouth and the model knows the whole face, the map that was fitted from the one box to the other. Raises Rejected."""
    box = from_landmarks(truth)
    few = ("kaggle15", "five")
    return box_fit(f"points of {source}", model).apply(box) if source in few and model not in few else box


def nearest_box(found: Sequence[Box], true: Box) -> Box | None:
    """The box that overlaps the true one most, or None where none does by a tenth."""
    best = max(found, key=true.overlap, default=None)
    return best if best is not None and true.overlap(best) > 0.1 else None


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


def without_adapter(collected: PredictionSet) -> tuple[Floats, Floats, str]:
    """Predictions and truth in a common scheme, without an adapter: (N, K, 2) twice, and the scheme."""
    common = common_scheme(collected.model_scheme, collected.truth_scheme)
    return (
        np.asarray(convert(collected.predicted, collected.model_scheme, common), np.float64),
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
    points = np.stack([adapter.apply(p) for p in collected.predicted]).astype(np.float64)
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
        points[out] = [made.apply(p) for p in collected.predicted[out]]
    return points, truth, collected.truth_scheme


def fit_label_adapter(
    collected: PredictionSet, name: str, fitted_on: str, chosen: NDArray[np.bool_] | None = None
) -> tuple[Adapter, float]:
    """An adapter from the model's points to the source's labels, on all faces or the chosen ones; see `fit_adapter`."""
    rows = np.flatnonzero(np.ones(len(collected.truth), bool) if chosen is None else chosen)
    return fit_adapter(
        collected.predicted[rows],
        collected.truth[rows],
        collected.model_scheme,
        collected.truth_scheme,
        name,
        fitted_on,
        [identity(collected.samples[i]) for i in rows],
    )


def evaluate(
    collected: PredictionSet,
    points: Floats,
    truth: Floats,
    scheme_name: str,
    normaliser: str,
    title: str,
    video: bool = False,
) -> Evaluation:
    """Every figure for predicted points (N, K, 2) against truth (N, K, 2), both in `scheme_name`, source pixels."""
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
        errors,
        points,
        truth,
    )


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


def agreement(landmarker: Landmarker, pixels: NDArray[np.uint8], angle: float | None = None) -> float:
    """How well a model agrees with itself on a picture without labels: its points on the mirrored (angle None) or
    turned picture, brought back, against its points on the picture as it is.

    Returns:
        Mean distance over the distance of the outer eye corners, percent; NaN where either has no face.
    """
    import cv2

    height, width = pixels.shape[:2]
    if angle is None:
        changed = np.ascontiguousarray(pixels[:, ::-1])
    else:
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        changed = np.asarray(cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    first, second = landmarker(pixels), landmarker(changed)
    if not first or not second:
        return float("nan")
    points, back = first[0].points, second[0].points
    if angle is None:
        back = (np.array([width - 1, 0]) + back * np.array([-1, 1]))[list(scheme(first[0].scheme).flip)]
    else:
        back = (back - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    length = metrics.normaliser(points[None], first[0].scheme, "inter-ocular")[0]
    return 100 * float(np.linalg.norm(points - back, axis=1).mean() / length)
