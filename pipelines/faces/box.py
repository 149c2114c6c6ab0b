"""Where a face is in its picture: an axis-parallel box in source pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.faces.matrix import sine_cosine

APART = 2.0  # pixels that a face's points must span
SMALLEST = 2.0  # pixels of a box's sides
LEAST_INSIDE = 0.25  # share of a box that must lie in the picture: faces are cut by the edge, mistakes lie beyond it
FAR = 3.0  # sides of its box that a point may lie from the box's centre


@dataclass(frozen=True)
class Box:
    """A box in source pixels; `x`, `y` is its top-left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def side(self) -> float:
        return max(self.width, self.height)

    def overlap(self, other: Box) -> float:
        """Intersection over union."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        shared = max(width, 0.0) * max(height, 0.0)
        return shared / max(self.width * self.height + other.width * other.height - shared, 1e-9)

    def array(self) -> NDArray[np.float32]:
        """(4,) float32: x, y, width, height."""
        return np.array([self.x, self.y, self.width, self.height], np.float32)


def from_landmarks(landmarks: NDArray[np.floating]) -> Box:
    """The tight box of the points that are present.

    Args:
        landmarks: (K, 2), source pixels, NaN where missing.

    Raises:
        Rejected: fewer than two points, or all of them (nearly) in one place.
    """
    present = landmarks[np.isfinite(landmarks).all(axis=1)]
    if len(present) < 2:
        raise Rejected(f"{len(present)} points present, a face box needs 2")
    low, high = present.min(axis=0), present.max(axis=0)
    if float((high - low).max()) < APART:
        raise Rejected(f"all {len(present)} points lie within 2 pixels of each other")
    return Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def turned(landmarks: NDArray[np.floating], angle: float) -> Box:
    """A square box for a crop that turns a face back by degrees clockwise: side and centre are those of the box that is
    tight around points (K, 2) in that crop. Raises Rejected as `from_landmarks`."""
    sine, cosine = sine_cosine(angle)
    frame = np.array([[cosine, -sine], [sine, cosine]])  # row vectors: source pixels to the turned frame
    tight = from_landmarks(landmarks @ frame)
    x, y = (frame @ np.array(tight.centre)).tolist()
    return Box(x - tight.side / 2, y - tight.side / 2, tight.side, tight.side)


def check_points(landmarks: NDArray[np.floating]) -> None:
    """Refuses a face whose points, three or more, all lie in one place, whatever box it is cropped by. Raises Rejected.

    Args:
        landmarks: (K, 2), source pixels, NaN where missing.
    """
    if len(landmarks) >= 3 and np.ptp(landmarks, axis=0).max() >= APART:
        return  # all present and apart: most faces
    if np.isfinite(landmarks).all(axis=1).sum() >= 3:
        from_landmarks(landmarks)


def check_sides(box: Box, what: str) -> None:
    """Refuses what is a box of no face in any picture. Raises Rejected as `check_box`, naming `what`."""
    if not np.isfinite([box.x, box.y, box.width, box.height]).all():
        raise Rejected(f"{what} is {_said(box)}; four finite numbers are needed")
    if min(box.width, box.height) < SMALLEST:
        raise Rejected(f"{what} is {_said(box)}; width and height must be {SMALLEST:.0f} pixels or more")


def _said(box: Box) -> str:
    return f"x {box.x:.6g}, y {box.y:.6g}, width {box.width:.6g}, height {box.height:.6g}"


def check_box(box: Box, width: int, height: int, landmarks: NDArray[np.floating], what: str) -> Box:
    """The one check of boxes, wherever they come from: of a file, a list, an annotation or a detector.

    Args:
        box: source pixels.
        width, height: of the picture.
        landmarks: (K, 2), source pixels, NaN where missing; may be all missing.
        what: where the box comes from, for messages.

    Raises:
        Rejected: not finite, no wider or higher than a pixel, mostly outside the picture, with right and bottom where
            width and height are meant, or far from the points.
    """
    check_sides(box, what)
    said = f"{what} is {_said(box)}"
    whole = Box(-0.5, -0.5, float(width), float(height))
    covered = max(0.0, min(box.x + box.width, whole.x + width) - max(box.x, whole.x)) * max(
        0.0, min(box.y + box.height, whole.y + height) - max(box.y, whole.y)
    )
    if covered < LEAST_INSIDE * box.width * box.height:
        share = 1 - covered / (box.width * box.height)
        raise Rejected(f"{said}: {share:.0%} of it lies outside the {width}×{height} image")
    present = landmarks[np.isfinite(landmarks).all(axis=1)]
    if not len(present):
        return box
    away = np.abs(present - box.centre).max(axis=1) / box.side
    if away.max() > FAR:
        x, y = present[int(np.argmax(away))]
        raise Rejected(
            f"{said}; point ({x:.0f}, {y:.0f}) lies {away.max():.1f} boxes away, at most {FAR:.0f} are usual"
        )
    if len(present) >= 3:
        true = from_landmarks(present)
        corners = Box(box.x, box.y, box.width - box.x, box.height - box.y)
        if min(corners.width, corners.height) > 0 and true.overlap(corners) > max(0.25, 2.5 * true.overlap(box)):
            raise Rejected(f"{said}; by the points, its width and height are the right and bottom edge")
    return box


def check_inside(landmarks: NDArray[np.floating], width: int, height: int, slack: float = 0.5) -> None:
    """Refuses points further outside the picture than `slack` times its size: hidden points of a cropped face lie a
    little outside, mistakes lie far.

    Raises:
        Rejected: naming the first such point.
    """
    size = np.array([width, height], np.float32)
    with np.errstate(invalid="ignore"):
        outside = ((landmarks < -slack * size) | (landmarks > (1 + slack) * size)).any(axis=1)
    if outside.any():
        index = int(np.argmax(outside))
        x, y = landmarks[index]
        raise Rejected(f"point {index} at ({x:.0f}, {y:.0f}) lies far outside the {width}×{height} image")
