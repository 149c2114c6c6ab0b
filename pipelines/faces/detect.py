"""Where the faces are, when nobody has said so: detectors behind one interface, by name.

`haar` comes with OpenCV: fast, front-on faces only, now and then a face in a curtain. `mtcnn` finds small, turned and
half-hidden faces. A box is the detector's own idea of a face; `box_fit.py` maps it to the box that training used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.crop import equalise

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Detection:
    """One face: box in source pixels, score (higher is surer, each detector's own scale), and, where the detector
    gives them, the points of scheme "five", (5, 2) float32 source pixels."""

    box: Box
    score: float
    points: NDArray[np.float32] | None = None


class Detector(Protocol):
    """Finds faces in a picture."""

    def detect(self, image: Pixels) -> list[Detection]:
        """The faces of (H, W, 3) uint8 RGB, best first; an empty list where there is none."""


class Haar:
    """Viola and Jones' cascade as OpenCV ships it (https://docs.opencv.org/4.x/db/d28/tutorial_cascade_classifier.html).

    Args:
        smallest: side of the smallest face looked for, as a share of the picture's shorter side.
        neighbours: overlapping hits that make a face: more misses faces, less sees some in curtains.
    """

    def __init__(self, smallest: float = 0.1, neighbours: int = 5) -> None:
        self.smallest, self.neighbours = smallest, neighbours
        folder = os.path.join(os.path.dirname(cv2.__file__), "data")
        self._cascade = cv2.CascadeClassifier(os.path.join(folder, "haarcascade_frontalface_alt2.xml"))
        if self._cascade.empty():
            raise FakeitError(f"detector haar: no cascade in {folder}; OpenCV 4 has them, 5 has not")

    def detect(self, image: Pixels) -> list[Detection]:
        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        side = max(20, round(self.smallest * min(grey.shape)))
        if min(grey.shape) < side:
            return []
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey, 1.1, self.neighbours, minSize=(side, side), outputRejectLevels=True
        )
        found = [
            Detection(Box(*map(float, box)), float(weight))
            for box, weight in zip(boxes, np.ravel(weights), strict=False)
        ]
        return sorted(found, key=lambda d: -d.score)


class Mtcnn:
    """Three cascaded networks, `mtcnn.py`.

    Args:
        smallest: side of the smallest face looked for, as a share of the picture's shorter side: 5 % are the faces of
            a group photo.
        thresholds: what each of the three networks must be sure by.
        steps: from one size of the picture to the next, for large sizes and for small ones. Its own 0.709 everywhere
            costs half as much again; 0.5 everywhere loses faces that fill the picture (benchmarks/detectors.py).
    """

    def __init__(
        self,
        smallest: float = 0.05,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
        steps: tuple[float, float] = (0.5, 0.709),
    ) -> None:
        from fakeit.pipelines.faces.mtcnn import Cascade

        self.smallest = smallest
        self._cascade = Cascade(thresholds, steps)

    def detect(self, image: Pixels) -> list[Detection]:
        shorter = min(image.shape[:2])
        if shorter < 20:
            return []
        smallest = max(20, round(self.smallest * shorter))
        return self._look(image, 0, smallest) or self._look(*_easier(image), smallest)

    def _look(self, image: Pixels, border: int, smallest: int) -> list[Detection]:
        """The faces of a picture that has a border around it, where they lie in the picture without."""
        found, faces = self._cascade.detect(image, smallest), []
        for corners, score, points in zip(found.boxes, found.scores, found.points, strict=True):
            left, top, right, bottom = map(float, corners - border)
            if right > left and bottom > top:
                box = Box(left, top, right - left, bottom - top)
                faces.append(Detection(box, float(score), points - np.float32(border)))
        return sorted(faces, key=lambda d: -d.score)


def _easier(image: Pixels) -> tuple[Pixels, int]:
    """(H, W, 3) with the contrast of the dark and the pale drawn out and room around a face that fills the picture, and
    the width of that room: a second look for pictures in which there seems to be no face."""
    border = round(0.3 * min(image.shape[:2]))
    plain = equalise(image, "histogram")
    return np.asarray(cv2.copyMakeBorder(plain, *[border] * 4, cv2.BORDER_REPLICATE), np.uint8), border


DETECTORS: dict[str, Callable[..., Detector]] = {"haar": Haar, "mtcnn": Mtcnn}


def detector(name: str, smallest: float | None = None) -> Detector:
    """The detector called `name`, ready.

    Args:
        name: of DETECTORS.
        smallest: side of the smallest face looked for, as a share of the picture's shorter side; None: its own.

    Raises:
        FakeitError: names the known ones, or says what it lacks.
    """
    if name not in DETECTORS:
        known = ", ".join(DETECTORS)
        raise FakeitError(f"detector '{name}' is unknown; known are {known}{nearest(name, DETECTORS)}")
    if smallest is None:
        return DETECTORS[name]()
    if not 0 < smallest <= 1:
        raise FakeitError(
            f"smallest face {smallest}: expected a share of the picture's shorter side, above 0, at most 1"
        )
    return DETECTORS[name](smallest)
