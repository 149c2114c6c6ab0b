"""Where the faces are, when nobody has said so: detectors behind one interface, by name.

`yunet` finds what `mtcnn` finds and some turned faces more, sees fewer where none is, and takes an eighth of the time.
`haar` comes with OpenCV: front-on faces only, now and then one in a curtain. A box is the detector's own idea of a
face; `box_fit.py` maps it to the box that training used.
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
from fakeit.pipelines.faces.detector_names import NAMES
from fakeit.pipelines.faces.mtcnn import Cascade
from fakeit.pipelines.faces.yunet import Network, joined

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
ROOM = 0.3  # around a picture that is looked at again, as a share of its shorter side


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
        found = self._cascade.detect(image, smallest)
        boxes = np.hstack([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]])
        return _detections(boxes, found.scores, found.points, border)


class Yunet:
    """One small network over the whole picture, `yunet.py`.

    Args:
        smallest: side of the smallest face looked for, as a share of the picture's shorter side: the picture is shrunk
            until such a face has 15 pixels.
        threshold: what it must be sure by. At 0.6 it saw no face in 108 pieces of panoramas without one (mtcnn eleven);
            above 0.8 it loses turned and drawn faces.
    """

    LEAST, MOST = 15, 480  # pixels of the smallest face; of a picture's shorter side in which a face may fill it
    STEP = 3  # from one size of a picture to the next smaller one

    def __init__(self, smallest: float = 0.05, threshold: float = 0.6) -> None:
        self.smallest, self.threshold = smallest, threshold
        self._network = Network()

    def detect(self, image: Pixels) -> list[Detection]:
        if min(image.shape[:2]) < 10:
            return []
        return self._look(image, 0) or self._look(*_easier(image))

    def _look(self, image: Pixels, border: int) -> list[Detection]:
        """The faces of a picture that has a border around it, where they lie in the picture without."""
        height, width = image.shape[:2]
        scale = min(1.0, self.LEAST / (self.smallest * min(height, width)))
        looks: list[tuple[Floats, Floats, Floats]] = []
        while not looks or scale * self.STEP * min(height, width) > self.MOST:
            small, back = _shrunk(image, scale)
            boxes, scores, points = self._network.detect(small, self.threshold)
            looks.append((boxes * np.tile(back, 2), scores, points * back))
            scale /= self.STEP
        return _detections(*joined(looks), border)


def _detections(boxes: Floats, scores: Floats, points: Floats, border: int) -> list[Detection]:
    """Boxes (N, 4) left, top, width, height, scores (N,) and points (N, 5, 2) in a picture with a border around it → in
    the picture without, best first."""
    faces = [
        Detection(Box(x - border, y - border, width, height), score, five - np.float32(border))
        for (x, y, width, height), score, five in zip(boxes.tolist(), scores.tolist(), points, strict=True)
        if width > 0 and height > 0
    ]
    return sorted(faces, key=lambda d: -d.score)


def _shrunk(image: Pixels, scale: float) -> tuple[Pixels, Floats]:
    """The picture at `scale` of its size, at most 1, and by what (x, y) in it are to be multiplied to come back. It is
    averaged over 2×2 blocks as often as that is not too much, then interpolated: of 1080 lines in a sixth of the time
    of the average over what each pixel covers, since blocks of two are what OpenCV has vector instructions for."""
    shrunk, factor = image, 1
    while scale * factor <= 0.5 and min(shrunk.shape[:2]) > 1:
        down, across = (side // 2 for side in shrunk.shape[:2])
        shrunk = np.asarray(
            cv2.resize(shrunk[: 2 * down, : 2 * across], (across, down), interpolation=cv2.INTER_AREA), np.uint8
        )
        factor *= 2
    sides = np.array(shrunk.shape[1::-1])
    size = np.maximum(1, np.round(sides * scale * factor)).astype(int)
    small = cv2.resize(shrunk, size.tolist(), interpolation=cv2.INTER_LINEAR)
    return np.asarray(small, np.uint8), (factor * sides / size).astype(np.float32)


def _easier(image: Pixels) -> tuple[Pixels, int]:
    """(H, W, 3) with the contrast of the dark and the pale drawn out and room around a face that fills the picture, and
    the width of that room: a second look for pictures in which there seems to be no face."""
    border = round(ROOM * min(image.shape[:2]))
    plain = equalise(image, "histogram")
    return np.asarray(cv2.copyMakeBorder(plain, *[border] * 4, cv2.BORDER_REPLICATE), np.uint8), border


DETECTORS: dict[str, Callable[..., Detector]] = dict(zip(NAMES, (Yunet, Mtcnn, Haar), strict=True))


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
