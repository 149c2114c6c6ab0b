"""Faces through a network, and how wrong it is: rendered and real ones alike, as stored crops, by part and by yaw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fakeit.model.comparison.photographs import Fold, PhotographSet, deal, ids_of, store_ids
from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.pixel_ops import displayable
from fakeit.model.evaluation.metrics import by_yaw, face_errors, normaliser, summarise, yaw_degrees
from fakeit.model.evaluation.scoring import common_scheme
from fakeit.model.inference.adapter_fit import Seen, fit_adapter
from fakeit.model.networks import LandmarkNetwork
from fakeit.model.training.checkpoint import Checkpoint
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.landmarks import convert
from fakeit.pipelines.landmarks import scheme as scheme_named
from fakeit.pipelines.store.manifest import SPLITS

BATCH = 64
ADAPTER_FACES, ADAPTER_FOLDS = 50, 5  # fewer faces than that fit no adapter
PARTS = {  # regions of a scheme that are one part of the face here
    "left_brow": "brows", "right_brow": "brows", "nose_bridge": "nose", "nose_base": "nose", "left_eye": "eyes",
    "right_eye": "eyes", "outer_lip": "mouth", "inner_lip": "mouth", "left_pupil": "pupils", "right_pupil": "pupils",
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One set of faces through one network.

    Attributes:
        scores: a summary, percent. errors: (N,) each face's NME, a share. parts: of the face → percent.
        yaw: bin → {"nme": percent, "faces": how many}.
    """

    scores: dict[str, float]
    errors: NDArray[np.float64]
    parts: dict[str, float]
    yaw: dict[str, dict[str, float]]


def judge(points: NDArray[np.floating], truth: NDArray[np.floating], scheme_name: str) -> Judged:
    """Scores of points (N, K, 2) against truth, both in unit crops and the scheme; inter-ocular NME."""
    length = normaliser(truth, scheme_name, "inter-ocular")
    errors = face_errors(points, truth, length)
    parts: dict[str, list[int]] = {}
    for region, indices in scheme_named(scheme_name).regions.items():
        parts.setdefault(PARTS.get(region, region), []).extend(indices)
    yaw = yaw_degrees(truth, scheme_name)
    bins = by_yaw(errors, yaw) if yaw is not None else {}
    # Every coordinate weighs the same: a small last batch cannot count like a full one, as in the published baselines.
    return Judged(
        summarise(errors, mse=float(np.nanmean((points - truth).astype(np.float64) ** 2))).flat(),
        errors,
        {name: summarise(face_errors(points, truth, length, chosen)).nme for name, chosen in parts.items()},
        {name: {"nme": scores.nme, "faces": scores.faces} for name, scores in bins.items()},
    )


def predictions(
    network: LandmarkNetwork, checkpoint: Checkpoint, store: ShardedDataset, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Crops (N, S, S, C) uint8, predicted and true points (N, K, 2) unit crop, of some rows."""
    images = np.empty((len(rows), store.shape.size, store.shape.size, store.shape.channels), np.uint8)
    landmarks, weight, _ = store.gather(rows, images)
    augmenter = Augmenter(store.crop, checkpoint.crop, scheme_named(store.scheme), None, 0, torch.device("cpu"))
    with torch.inference_mode():
        pixels, truth, _ = augmenter(torch.from_numpy(images), torch.from_numpy(landmarks))
        points = network(pixels).points.float().numpy()
    return (
        displayable(pixels).numpy(),
        points,
        np.where(weight[..., None] > 0, truth.numpy(), np.nan).astype(np.float32),
    )


def all_predictions(
    network: LandmarkNetwork, checkpoint: Checkpoint, store: ShardedDataset, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Predicted and true points (N, K, 2), unit crop, in batches."""
    found = [predictions(network, checkpoint, store, rows[at : at + BATCH])[1:] for at in range(0, len(rows), BATCH)]
    return np.concatenate([points for points, _ in found]), np.concatenate([truth for _, truth in found])


@dataclass(frozen=True)
class Photos:
    """Real faces to score on.

    Attributes:
        sets: which. stored: folder of their crops. fold: where the network saw the others, of the sets that cells train
            on: only its faces are scored.
    """

    sets: tuple[PhotographSet, ...] = ()
    stored: Path = Path("photographs")
    fold: Fold | None = None


@dataclass(frozen=True)
class _Faces:
    """A set of real faces and what the network says of them, unit crop."""

    points: NDArray[np.float32]
    truth: NDArray[np.float32]
    truth_scheme: str


def judge_photographs(
    network: LandmarkNetwork, checkpoint: Checkpoint, photos: Photos, crop: CropConfig
) -> tuple[dict[str, Judged], dict[str, float]]:
    """Real faces by the network's own points, mapped to the labels' scheme; and NME % through an adapter. `crop`: the
    recipe of the dataset's crops, in which theirs are stored."""
    seen = {each.name: _see(network, checkpoint, each, photos, crop) for each in photos.sets}
    judged, adapted = {}, {}
    for name, one in seen.items():
        common = common_scheme(checkpoint.scheme, one.truth_scheme)
        truth = convert(one.truth, one.truth_scheme, common)
        judged[name] = judge(convert(one.points, checkpoint.scheme, common), truth, common)
        others = [o for n, o in seen.items() if n != name and o.truth_scheme == one.truth_scheme]
        points = _adapted(one, others[0] if others and photos.fold is None else None, checkpoint.scheme)
        if points is not None:
            adapted[name] = judge(points, one.truth, one.truth_scheme).scores["nme"]
    return judged, adapted


def _see(
    network: LandmarkNetwork, checkpoint: Checkpoint, chosen: PhotographSet, photos: Photos, crop: CropConfig
) -> _Faces:
    dataset = chosen.stored(photos.stored, crop)
    known = sorted(chosen.wanted().intersection(ids_of(dataset)))
    dealt = deal(known, photos.fold[1]) if photos.fold is not None and chosen.trained else dict.fromkeys(known, -1)
    held = photos.fold[0] if photos.fold is not None and chosen.trained else -1
    found = []
    for split in SPLITS:
        store = ShardedDataset([DatasetSpec(dataset)], split)
        rows = np.arange(store.rows, dtype=np.int64)
        inside = np.array([dealt.get(name) == held for name in store_ids(store)], bool)
        if inside.any():
            found.append(all_predictions(network, checkpoint, store, rows[inside]))
    points, truth = (np.concatenate(part) for part in zip(*found, strict=True))
    return _Faces(points, truth, store.scheme)


def _adapted(one: _Faces, other: _Faces | None, source: str) -> NDArray[np.float64] | None:
    """Points through an adapter that was fitted on another set, or, without one, on other blocks of this set's faces;
    None where there are too few."""
    if len((other or one).points) < ADAPTER_FACES:
        return None
    if other is not None:
        made = fit_adapter(Seen(other.points), other.truth, source, other.truth_scheme, "other")[0]
        return np.stack([made.apply(points) for points in one.points]).astype(np.float64)
    found = np.full(one.truth.shape, np.nan)
    block = np.arange(len(one.points)) * ADAPTER_FOLDS // len(one.points)
    for held in range(ADAPTER_FOLDS):
        fit, out = block != held, block == held
        made = fit_adapter(Seen(one.points[fit]), one.truth[fit], source, one.truth_scheme, "crossed")[0]
        found[out] = [made.apply(points) for points in one.points[out]]
    return found
