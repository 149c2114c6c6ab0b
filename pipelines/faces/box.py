"""Where a face is in its picture: an axis-parallel box in source pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import Rejected


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
    if float((high - low).max()) < 2.0:
        raise Rejected(f"all {len(present)} points lie within 2 pixels of each other")
    return Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


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
