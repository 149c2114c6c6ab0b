"""What a landmarker says about a labelled source, collected once, with all that scoring and fitting need of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fakeit.model.evaluation import metrics
from fakeit.model.evaluation.metrics import Floats
from fakeit.model.inference.adapter_fit import Seen
from fakeit.model.inference.backends import AS_TOLD, Mirrored, SigmaFit
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.inference.results import Face
from fakeit.pipelines.dense_points import DENSE
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.box_fit import box_fit
from fakeit.pipelines.faces.crop import Picture, eye_angle
from fakeit.pipelines.faces.locate import holds
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import HIDDEN, Sample, Source, read_sample

Boxes = Literal["true", "detector"]


@dataclass(frozen=True)
class PredictionSet:
    """What a model says about a source's faces.

    Attributes:
        samples: the N faces that could be read.
        truth: (N, K', 2) labels in `truth_scheme`, source pixels, NaN where missing.
        said: the model's answers in `model_scheme`, without adapter; its crop_side is that of the true box's crop.
        skin: (N,) tone of the cheeks, `metrics.skin_tone`, NaN where not known.
        boxes: whether true boxes or a detector's were used.
        rejected: why some samples could not be read.
        visibility: (N, K) each point's chance of being visible, NaN where no face was found; None where the model does
            not say.
        sigma_fit: the model's own.
        seen: (N, K') bool, which points are not labelled as hidden; None where none is.
        mirrored: what it says of the mirrored pictures, brought back; None where it was not asked.
    """

    samples: tuple[Sample, ...]
    truth: NDArray[np.float32]
    truth_scheme: str
    said: Seen
    model_scheme: str
    skin: Floats
    boxes: Boxes
    rejected: tuple[str, ...] = ()
    visibility: NDArray[np.float32] | None = None
    sigma_fit: SigmaFit = AS_TOLD
    seen: NDArray[np.bool_] | None = None
    mirrored: Seen | None = None

    @property
    def crop_side(self) -> Floats:
        """(N,) side of the crop that the true box gives, source pixels: the unit of the MSE."""
        assert self.said.crop_side is not None
        return np.asarray(self.said.crop_side, np.float64)


def collect(
    landmarker: Landmarker,
    source: Source,
    samples: Iterable[Sample],
    boxes: Boxes,
    mirrored: bool = False,
) -> PredictionSet:
    """Runs the landmarker (without its adapter) over labelled samples.

    Args:
        landmarker: of any scheme.
        source: labelled.
        samples: of that source.
        boxes: "true": the tight box of the true points, its crop turned by the true eyes where training turned crops;
            "detector": as a user would have it, the detection that overlaps the true box most, or none.
        mirrored: whether the mirrored pictures are shown to it as well, for the fit of an adapter.

    Raises:
        FakeitError: no sample could be read.
    """
    kept, truths, seen, sides, tones, rejected = [], [], [], [], [], []
    faces: list[list[Face | None]] = [[], []]
    missing = np.full((scheme(landmarker.metadata.scheme).count, 2), np.nan, np.float32)
    crop = landmarker.metadata.crop
    shown = [landmarker, Landmarker(Mirrored(landmarker.backend), landmarker.config)][: 1 + mirrored]
    for sample in samples:
        try:
            annotation, pixels = read_sample(source, sample)
            truth = annotation.landmarks
            true_box = training_box(truth, source.scheme, landmarker.metadata.scheme)
            box = true_box if boxes == "true" else nearest_box(landmarker.detect(pixels), true_box, truth)
        except Rejected as error:
            rejected.append(str(error))
            continue
        for one, made in zip(shown, faces, strict=False):
            if boxes == "true":
                made.append(_in_true_box(one, pixels, true_box, truth, source.scheme))
            else:
                made.append(one.read([pixels], [[box]])[0][0] if box else None)
        kept.append(sample)
        truths.append(truth)
        seen.append(annotation.visibility != HIDDEN)
        sides.append(true_box.side * (1 + 2 * crop.margin))
        tones.append(metrics.skin_tone(pixels, truth, source.scheme))
    if not kept:
        raise FakeitError(f"none of {len(rejected)} samples could be read; the first: {rejected[0]}")
    crop_side = np.array(sides)
    said, mirror = (_gathered(each, missing, crop_side) for each in faces)
    return PredictionSet(
        tuple(kept),
        np.stack(truths).astype(np.float32),
        source.scheme,
        said[0],
        landmarker.metadata.scheme,
        np.array(tones),
        boxes,
        tuple(rejected),
        said[1],
        landmarker.metadata.sigma_fit,
        None if np.all(seen) else np.array(seen),
        mirror[0] if mirrored else None,
    )


def _in_true_box(
    landmarker: Landmarker, pixels: NDArray[np.uint8], box: Box, truth: NDArray[np.floating], source: str
) -> Face:
    """What is said of a face (truth (K, 2) source pixels, in scheme `source`) in the crop that training would have
    made."""
    crop = landmarker.metadata.crop
    if crop.align == "square":
        return landmarker.read([pixels], [[box]], 0)[0][0]
    return landmarker.read_crops(Picture(pixels, crop.colour, 1), [(box, eye_angle(truth, source))])[0]


def _gathered(
    faces: Sequence[Face | None], missing: NDArray[np.float32], crop_side: Floats
) -> tuple[Seen, NDArray[np.float32] | None]:
    """What is said of N faces, and the visibility (N, K), NaN for no face; None for what no face has."""
    nothing = {"points": missing, "log_sigma": missing[:, 0], "visibility": missing[:, 0]}
    nothing["dense"] = np.full((DENSE, 2), np.nan, np.float32)
    columns: dict[str, Any] = {}
    for name, empty in nothing.items():
        values = [None if face is None else getattr(face, name) for face in faces]
        known = name == "points" or any(value is not None for value in values)
        columns[name] = np.stack([empty if v is None else v for v in values]) if known and values else None
    visibility = columns.pop("visibility")
    return Seen(**columns, crop_side=crop_side), visibility


def training_box(truth: NDArray[np.floating], source: str, model: str) -> Box:
    """The box that training would have used: tight around the points, or, where the source labels only eyes, nose and
    mouth and the model knows the whole face, the map that was fitted from the one box to the other. Raises Rejected."""
    box = from_landmarks(truth)
    few = ("kaggle15", "five")
    return box_fit(f"points of {source}", model).apply(box) if source in few and model not in few else box


def nearest_box(found: Sequence[Box], true: Box, truth: NDArray[np.floating]) -> Box | None:
    """The box that overlaps the true one of the points (K, 2) most, or None where none does by a tenth, nor holds the
    points: a few points' own box is but a part of the face."""
    best = max(found, key=true.overlap, default=None)
    return best if best is not None and (true.overlap(best) > 0.1 or holds(best, truth)) else None
