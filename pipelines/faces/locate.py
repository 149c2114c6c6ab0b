"""Which box a face is cropped by: of its points, of the dataset's annotation, of a CSV, a detector's, or all of it.

Where several boxes are at hand and points are known, the face is the box that meets the points best; without points it
is the most prominent, here and wherever pictures are predicted: large and near the middle, not what a detector is
surest of. A detector's box is mapped to the tight box of points (`box_fit.py`), so that crops made by either agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.box_fit import box_fit
from fakeit.pipelines.faces.detect import Detector, detector

BoxKind = Literal["landmarks", "annotation", "csv", "yunet", "mtcnn", "haar", "image"]
LEAST_OVERLAP = 0.2  # intersection over union with the points' box below which a box is another face's


@cache
def _detector(name: str, smallest: float | None) -> Detector:
    """One a process: loading costs more than detecting."""
    return detector(name, smallest)


def prominence(box: Box, width: int, height: int) -> float:
    """How much a face is the subject of a picture: its area within the picture, a quarter of it halfway to a corner."""
    x, y = box.centre
    away = min(float(np.hypot(2 * x / width - 1, 2 * y / height - 1) / np.sqrt(2)), 0.999)
    across = min(box.x + box.width, width) - max(box.x, 0)
    down = min(box.y + box.height, height) - max(box.y, 0)
    return max(across, 0.0) * max(down, 0.0) * (1 - away) ** 2


def most_prominent_first(boxes: Sequence[Box], width: int, height: int) -> list[Box]:
    """Boxes of one picture of `width`×`height` pixels, the main face first."""
    return sorted(boxes, key=lambda box: -prominence(box, width, height))


def choose(boxes: Sequence[Box], landmarks: NDArray[np.floating], what: str) -> Box:
    """The box of the face whose points these are; the first where no points are known.

    Args:
        boxes: candidates, source pixels, the main face first.
        landmarks: (K, 2), source pixels, NaN where missing.
        what: where the boxes come from, for messages.

    Raises:
        Rejected: no box, or none that meets the points.
    """
    if not boxes:
        raise Rejected(f"{what} has no face here")
    if np.isfinite(landmarks).all(axis=1).sum() < 2:
        return boxes[0]
    true = from_landmarks(landmarks)
    best = max(boxes, key=true.overlap)
    if true.overlap(best) < LEAST_OVERLAP and not holds(best, landmarks):
        raise Rejected(f"{what} has {len(boxes)} faces here, none of them where the points are")
    return best


def holds(box: Box, landmarks: NDArray[np.floating]) -> bool:
    """Whether nearly all points lie in `box`: of a scheme with few points their own box is but a part of the face."""
    present = landmarks[np.isfinite(landmarks).all(axis=1)]
    inside = (present >= (box.x, box.y)) & (present <= (box.x + box.width, box.y + box.height))
    return bool(inside.all(axis=1).mean() >= 0.9)


def detected(name: str, image: NDArray[np.uint8], scheme: str, smallest: float | None = None) -> list[Box]:
    """What the detector `name` finds in (H, W, 3) RGB uint8, as tight boxes of `scheme`'s points, main face first."""
    fit = box_fit(name, scheme if scheme != "none" else "ibug68")
    finder = _detector(name, smallest)
    try:
        found = [fit.apply(found.box) for found in finder.detect(image)]
    except (FakeitError, Rejected):
        raise
    except Exception as error:  # one picture must not cost the job
        raise Rejected(f"detector {name} failed here ({' '.join(str(error).split())[:120]})") from error
    return most_prominent_first(found, image.shape[1], image.shape[0])


def whole(image: NDArray[np.uint8]) -> Box:
    """All of a picture (H, W, C), from the edge of its first pixel to that of its last."""
    return Box(-0.5, -0.5, float(image.shape[1]), float(image.shape[0]))
