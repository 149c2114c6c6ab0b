"""Where the faces are, when nobody has said so: detectors behind one interface, by name.

`haar` comes with OpenCV: fast, front-on faces only, now and then a face in a curtain. `mtcnn` finds small, turned and
half-hidden faces; its weights come with the package facenet-pytorch, and it needs torch. A box is the detector's own
idea of a face; `box_fit.py` maps it to the box that training used.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

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
    """Zhang et al.'s three cascaded networks (https://arxiv.org/abs/1604.02878) in facenet-pytorch.

    Args:
        smallest: side of the smallest face looked for, as a share of the picture's shorter side.
        thresholds: what each of the three networks must be sure by.
        step: from one size of the picture to the next. Its own 0.709 finds as many faces in
            benchmarks/detectors.py in one and a half times the time.
    """

    def __init__(
        self, smallest: float = 0.1, thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7), step: float = 0.5
    ) -> None:
        self.smallest, self.thresholds = smallest, thresholds
        self._networks = _mtcnn()
        self._networks.factor = step

    def detect(self, image: Pixels) -> list[Detection]:
        height, width = image.shape[:2]
        side = max(20, round(self.smallest * min(height, width)))
        if min(height, width) < 20:
            return []
        self._networks.min_face_size = side
        self._networks.thresholds = list(self.thresholds)
        try:
            boxes, scores, points = self._networks.detect(image, landmarks=True)
        except (RuntimeError, ValueError, IndexError):  # it cannot stack nothing when its first network finds nothing
            return []
        if boxes is None:
            return []
        found = []
        for (left, top, right, bottom), score, five in zip(boxes, scores, points, strict=True):
            if right > left and bottom > top:
                box = Box(float(left), float(top), float(right - left), float(bottom - top))
                found.append(Detection(box, float(score), np.asarray(five, np.float32)))
        return sorted(found, key=lambda d: -d.score)


def _mtcnn() -> Any:
    """facenet-pytorch's MTCNN, without the torchvision it imports: beside a CPU-only torch that one cannot load, and
    all that is used of it is one function for non-maximum suppression."""
    try:
        import torch
    except ImportError as error:
        raise FakeitError(f"detector mtcnn needs torch ({error}); haar does without") from error

    def batched_nms(boxes: Any, scores: Any, groups: Any, overlap: float) -> Any:
        if len(boxes) == 0:
            return torch.zeros(0, dtype=torch.long)
        apart = boxes + (groups.to(boxes) * (boxes.max() + 1))[:, None]
        corners = apart.detach().numpy()
        sizes = np.column_stack([corners[:, :2], corners[:, 2:4] - corners[:, :2]]).astype(float).tolist()
        kept = cv2.dnn.NMSBoxes(sizes, scores.detach().numpy().astype(float).tolist(), 0.0, overlap)
        return torch.as_tensor(np.asarray(kept).ravel(), dtype=torch.long)

    stand_ins = {name: types.ModuleType(name) for name in _TORCHVISION}
    stand_ins["torchvision.ops.boxes"].batched_nms = batched_nms  # type: ignore[attr-defined]
    for name, module in stand_ins.items():
        for child in stand_ins:
            if child.rpartition(".")[0] == name:
                setattr(module, child.rpartition(".")[2], stand_ins[child])
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        from facenet_pytorch.models.mtcnn import MTCNN
    except ImportError as error:
        raise FakeitError(f"detector mtcnn needs facenet-pytorch ({error}); haar does without") from error
    finally:
        for name, old in before.items():
            if old is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = old
    made = MTCNN(keep_all=True, device="cpu", post_process=False)
    # torch's pooling is ten times as fast with channels last, and pooling is most of the time
    return made.to(memory_format=torch.channels_last)


_TORCHVISION = (
    *("torchvision", "torchvision.transforms", "torchvision.transforms.functional"),
    *("torchvision.ops", "torchvision.ops.boxes", "torchvision.datasets"),
)
DETECTORS: dict[str, Callable[[], Detector]] = {"haar": Haar, "mtcnn": Mtcnn}


def detector(name: str) -> Detector:
    """The detector called `name`, ready. Raises FakeitError naming the known ones, or what it lacks."""
    if name not in DETECTORS:
        known = ", ".join(DETECTORS)
        raise FakeitError(f"detector '{name}' is unknown; known are {known}{nearest(name, DETECTORS)}")
    return DETECTORS[name]()
