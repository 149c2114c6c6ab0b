"""Source picture → face crop: one 3×3 matrix that pixels and points share, applied in one anti-aliased warp.

Frames: *source pixels* and *crop pixels* have the centre of their first pixel at (0, 0), as OpenCV has; *unit crop* is
(p + 0.5) / size, so that 0 and 1 are the crop's edges whatever its size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.matrix import Matrix, determinant, direction, inverse, product, sine_cosine, transform
from fakeit.pipelines.landmarks import eye_corners

SMALLEST = 0.8  # of the crop's resolution: what an averaged picture keeps at least
LONGEST = (1 << 15) - 2  # pixels of a side that OpenCV warps; panoramas are longer


@dataclass(frozen=True)
class CropConfig:
    """The crop recipe. It travels with every model, since a network works on crops made as it was trained on.

    Attributes:
        size: pixels of the square crop's side.
        margin: added to each side of the face box, as a share of its longer side.
        colour: what the pixels are.
        align: "square" keeps the picture upright; "eyes" turns it until the outer eye corners are level.
        equalise: contrast treatment of every crop, in training and in use alike.
    """

    size: int = 128
    margin: float = 0.2
    colour: Literal["rgb", "grey"] = "rgb"
    align: Literal["square", "eyes"] = "square"
    equalise: Literal["none", "stretch", "histogram", "clahe"] = "none"

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise FakeitError(f"crop.size is {self.size}; 8 to 4096 pixels are possible")
        if not -0.4 <= self.margin <= 5:
            raise FakeitError(f"crop.margin is {self.margin}; -0.4 to 5 box sides are possible")

    @property
    def channels(self) -> int:
        return 1 if self.colour == "grey" else 3


def crop_from_source(box: Box, config: CropConfig, angle: float = 0.0) -> Matrix:
    """The (3, 3) float64 matrix from source pixels to crop pixels.

    Args:
        box: the face, source pixels.
        config: the recipe.
        angle: degrees that the face is turned clockwise in the picture; the crop turns it back.
    """
    scale = config.size / max(box.side * (1 + 2 * config.margin), 1e-6)
    sine, cosine = (scale * value for value in sine_cosine(angle))
    (x, y), middle = box.centre, (config.size - 1) / 2
    across, down = middle - (cosine * x + sine * y), middle - (cosine * y - sine * x)
    return np.array([[cosine, sine, across], [-sine, cosine, down], [0.0, 0.0, 1.0]])


def eye_angle(landmarks: NDArray[np.floating], scheme: str) -> float:
    """Degrees by which the line through the outer eye corners is turned clockwise; 0 where a corner is missing."""
    left, right = eye_corners(landmarks, scheme)
    dx, dy = (right - left).tolist()
    angle = direction(dx, dy)
    return angle if math.isfinite(angle) else 0.0


def to_unit(points: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Crop pixels → unit crop."""
    return ((points + 0.5) / size).astype(np.float32)


def from_unit(points: NDArray[np.floating], size: int) -> NDArray[np.float64]:
    """Unit crop → crop pixels."""
    return np.asarray(points, np.float64) * size - 0.5


class Picture:
    """A decoded source picture that is warped several times: its shrunken copies are made once.

    A warp interpolates between four pixels, so shrinking by more than two would skip some (aliasing). The picture is
    therefore first averaged over whole f×f blocks (exact, INTER_AREA), with f the nearest whole factor, then warped.
    OpenCV's warp knows 1/32 of a pixel of what it reads: a point may lie 1/64 off. So the averaged picture must not be
    much smaller than the crop (`SMALLEST`), or that error would grow with it beyond 0.02 crop pixels.
    """

    def __init__(self, pixels: NDArray[np.uint8], colour: str, crops: int = 4) -> None:
        """pixels: (H, W, 3) RGB uint8; colour: "rgb" or "grey"; crops: about how many will be cut out of it."""
        self.height, self.width = pixels.shape[:2]
        self._crops = crops
        self._levels = {1: cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if colour == "grey" else pixels}

    def _averaged(self, factor: int, matrix: Matrix, size: int) -> tuple[NDArray[np.uint8], int, int]:
        """The picture over factor×factor blocks, and where its left and top lie in the picture. Where as many crops as
        this one take less than the picture (a face in a video's frame), only the blocks under it are averaged; and so
        of a picture that is too long to be warped."""
        height, width = self.height // factor, self.width // factor
        fits = max(height, width) <= LONGEST
        if fits and factor in self._levels:
            return self._levels[factor], 0, 0
        corners = np.array([[-1, -1], [size, -1], [-1, size], [size, size]], np.float64)
        across, down = (transform(corners, inverse(matrix)) / factor).T.tolist()
        x0, x1 = _span(across, width)
        y0, y1 = _span(down, height)
        if fits and not 0 < self._crops * (x1 - x0) * (y1 - y0) < width * height:
            x0, y0, x1, y1 = 0, 0, width, height
        x0, y0 = min(x0, width - 1), min(y0, height - 1)
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        part = self._levels[1][y0 * factor : y1 * factor, x0 * factor : x1 * factor]
        level = np.asarray(cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA), np.uint8)
        if (x1 - x0, y1 - y0) == (width, height):
            self._levels[factor] = level
        return level, x0 * factor, y0 * factor

    def warp(self, matrix: Matrix, size: int) -> NDArray[np.uint8]:
        """The crop under `matrix` (source → crop pixels): (size, size, 1 or 3) uint8; outside is black."""
        scale = math.sqrt(abs(determinant(matrix[:2, :2])))
        wanted = 1 / max(scale, 1e-9)
        factor = round(wanted) if wanted >= SMALLEST * round(wanted) else int(wanted)
        factor = min(max(1, factor), min(self.height, self.width))
        level = self._levels[1]
        if factor > 1 or max(level.shape) > LONGEST:
            level, left, top = self._averaged(factor, matrix, size)
            source_from_level = np.array(
                [[factor, 0, left + (factor - 1) / 2], [0, factor, top + (factor - 1) / 2], [0, 0, 1.0]]
            )
            matrix = product(matrix, source_from_level)
        if matrix[2, 0] == 0 and matrix[2, 1] == 0:
            crop = cv2.warpAffine(level, matrix[:2], (size, size), flags=cv2.INTER_LINEAR)
        else:
            crop = cv2.warpPerspective(level, matrix, (size, size), flags=cv2.INTER_LINEAR)
        return np.asarray(crop, np.uint8).reshape(size, size, -1)


def _span(values: list[float], most: int) -> tuple[int, int]:
    """The whole numbers around `values` and two more at each side, in 0 to `most`."""
    low, high = min(values), max(values)
    if not math.isfinite(low + high):
        return 0, most
    return min(max(math.floor(low) - 2, 0), most), min(max(math.ceil(high) + 2, 0), most)


def equalise(crop: NDArray[np.uint8], method: str) -> NDArray[np.uint8]:
    """Contrast treatment of a crop (H, W, C) uint8, on its lightness: "none", "stretch" (2nd to 98th percentile to the
    full range), "histogram" (global equalisation) or "clahe" (adaptive, 8×8 tiles, limit 2)."""
    if method == "none":
        return crop
    if crop.shape[2] == 3:
        ycc = cv2.cvtColor(crop, cv2.COLOR_RGB2YCrCb)
        ycc[..., 0] = _equalise_grey(ycc[..., 0], method)
        return np.asarray(cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB), np.uint8)
    return _equalise_grey(crop[..., 0], method)[..., None]


def _equalise_grey(grey: NDArray[np.uint8], method: str) -> NDArray[np.uint8]:
    grey = np.ascontiguousarray(grey)
    if method == "histogram":
        return np.asarray(cv2.equalizeHist(grey), np.uint8)
    if method == "clahe":
        return np.asarray(cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey), np.uint8)
    low, high = np.percentile(grey, (2, 98))
    table = np.clip((np.arange(256) - low) * (255 / max(high - low, 1.0)), 0, 255).astype(np.uint8)
    return np.asarray(table[grey], np.uint8)
