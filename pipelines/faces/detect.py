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
        step: from one size of the picture to the next. Its own 0.709 finds as many faces in
            benchmarks/detectors.py in one and a half times the time.
    """

    def __init__(
        self, smallest: float = 0.05, thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7), step: float = 0.5
    ) -> None:
        from fakeit.pipelines.faces.mtcnn import Cascade

        self.smallest = smallest
        self._cascade = Cascade(thresholds, step)

    def detect(self, image: Pixels) -> list[Detection]:
        shorter = min(image.shape[:2])
        if shorter < 20:
            return []
        found = self._cascade.detect(image, max(20, round(self.smallest * shorter)))
        faces = []
        for (left, top, right, bottom), score, points in zip(found.boxes, found.scores, found.points, strict=True):
            if right > left and bottom > top:
                box = Box(float(left), float(top), float(right - left), float(bottom - top))
                faces.append(Detection(box, float(score), points))
        return sorted(faces, key=lambda d: -d.score)


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
