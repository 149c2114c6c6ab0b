"""A face that tests can see through: a patch whose colours say where on it each pixel lies, and a network that reads
them. What comes out is right only if crop, warp and the way back are."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.backends import ModelMetadata, Output
from fakeit.pipelines.faces.art import CANONICAL
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.crop import CropConfig

PATCH, LEVELS = 125, 2  # pixels of the patch; red is LEVELS·x, green LEVELS·y, blue marks it
POINTS_68 = (CANONICAL - CANONICAL.min(axis=0)) / np.ptp(CANONICAL, axis=0).max() * 75 + 25
POINTS = np.concatenate([POINTS_68, [POINTS_68[36:42].mean(axis=0), POINTS_68[42:48].mean(axis=0)]]).astype(np.float32)


def patch() -> NDArray[np.float32]:
    ys, xs = np.mgrid[:PATCH, :PATCH].astype(np.float32)
    return np.stack([xs * LEVELS, ys * LEVELS, np.full_like(xs, 255)], axis=2)


def picture(
    matrices: list[NDArray[np.float64]], width: int = 640, height: int = 480
) -> tuple[NDArray[np.uint8], list[NDArray[np.float32]]]:
    """A picture with a face for each (2, 3) map from the patch, and their true points (70, 2)."""
    canvas = np.zeros((height, width, 3), np.uint8)
    noise = np.random.default_rng(0)
    for matrix in matrices:
        layer = cv2.warpAffine(patch(), matrix, (width, height), flags=cv2.INTER_LINEAR)
        cover = cv2.warpAffine(np.full((PATCH, PATCH), 255, np.uint8), matrix, (width, height)) == 255
        layer[..., :2] += noise.uniform(-1, 1, (height, width, 2))  # else rounding averages adds half a level
        canvas[cover] = np.rint(np.clip(layer[cover], 0, 255)).astype(np.uint8)
    return canvas, [(POINTS @ m[:, :2].T + m[:, 2]).astype(np.float32) for m in matrices]


def placed(x: float, y: float, scale: float = 1.0, degrees: float = 0.0) -> NDArray[np.float64]:
    """The map that puts the patch's top-left corner at (x, y), scaled and turned about it."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, [x, y]])


@dataclass
class Reader:
    """A "network" that reads positions from the colours: exact where the crop shows the patch."""

    metadata: ModelMetadata = ModelMetadata("face70", CropConfig(size=128, margin=0.2), "reader", sigma=True)
    runs: int = 0

    def run(self, crops: NDArray[np.uint8]) -> Output:
        self.runs += len(crops)
        assert crops.dtype == np.uint8 and crops.shape[1:] == (self.metadata.crop.size, self.metadata.crop.size, 3)
        found = [self._one(crop.astype(np.float64)) for crop in crops]
        points = np.stack([p for p, _ in found]).astype(np.float32)
        sigma = np.array([[-5.0 if good else 0.0] * len(POINTS) for _, good in found], np.float32)
        return Output(points, sigma)

    def _one(self, crop: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
        ys, xs = np.nonzero(crop[..., 2] > 254.5)
        size = self.metadata.crop.size
        if len(xs) < 100:
            return np.full((len(POINTS), 2), 0.5) + np.random.default_rng(0).normal(0, 0.2, (len(POINTS), 2)), False
        # The middle of each crop pixel in the patch → an affine map patch → crop.
        on_patch = np.column_stack([crop[ys, xs, 0] / LEVELS, crop[ys, xs, 1] / LEVELS, np.ones(len(xs))])
        matrix = np.linalg.lstsq(on_patch, np.column_stack([xs, ys]), rcond=None)[0]
        return (np.column_stack([POINTS, np.ones(len(POINTS))]) @ matrix + 0.5) / size, True


class Finder:
    """A detector that finds every patch, by its blue, and says the box of its points, off by a share of it."""

    def __init__(self, off: float = 0.0) -> None:
        self.off, self.calls = off, 0

    def detect(self, image: NDArray[np.uint8]) -> list[SimpleNamespace]:
        self.calls += 1
        count, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 2] > 200).astype(np.uint8))
        tight = from_landmarks(POINTS)
        found = []
        for x, y, width, height, area in stats[1:count]:
            if area < 50:
                continue
            sx, sy = width / PATCH, height / PATCH
            left = tight.x + self.off * tight.width
            box = Box(x + left * sx, y + tight.y * sy, tight.width * sx, tight.height * sy)
            found.append(SimpleNamespace(box=box, score=1.0, points=None))
        return found
