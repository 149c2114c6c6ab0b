"""Zhang et al.'s three cascaded networks (https://arxiv.org/abs/1604.02878) in onnxruntime and numpy: no torch.

The first network looks at every place of the picture in several sizes, the second and third judge what is left and
correct it. Weights are facenet-pytorch's (MIT), made into ONNX by `tools/mtcnn_to_onnx.py`; the steps between are its
`detect_face`, so that boxes are the same to a fraction of a pixel. Pictures and cut-outs are shrunk by averaging whole
source pixels, which one table of sums does for all sizes and cut-outs at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.faces.detector_network import load, suppress

WEIGHTS = "mtcnn_weights"  # folder beside this file
STRIDE, CELL = 2, 12  # of the first network, its pixels
SMALL = 70  # pixels of a picture's shorter side from which on other sizes cost little
AT_ONCE = 512  # cut-outs that a network is given at a time
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """Faces of one picture.

    Attributes:
        boxes: (N, 4) float32 left, top, right, bottom, source pixels.
        scores: (N,) float32, the third network's.
        points: (N, 5, 2) float32, scheme "five", source pixels.
    """

    boxes: Floats
    scores: Floats
    points: Floats


NOTHING = Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


class Cascade:
    """The three networks, loaded. Not for several threads at once.

    Args:
        thresholds: what each network must be sure by.
        steps: from one size of the picture to the next: of large sizes, and of those below SMALL pixels.
        threads: CPU threads of each network.
    """

    def __init__(self, thresholds: tuple[float, float, float], steps: tuple[float, float], threads: int = 1) -> None:
        self.thresholds, self.steps = thresholds, steps
        self._first, self._second, self._third = (
            load("mtcnn", threads, WEIGHTS, f"{name}.onnx") for name in ("pnet", "rnet", "onet")
        )

    def detect(self, image: NDArray[np.uint8], smallest: int) -> Found:
        """The faces of (H, W, 3) uint8 RGB whose side is at least `smallest` pixels, in no order."""
        height, width = image.shape[:2]
        sums = _Sums(image)
        boxes = self._propose(sums, height, width, smallest)
        boxes, scores, shift, _ = self._judge(self._second, sums, boxes, 24, self.thresholds[1])
        kept = _suppress(boxes, scores, 0.7)
        boxes = _square(_shifted(boxes[kept], shift[kept], 1))
        boxes, scores, shift, points = self._judge(self._third, sums, boxes, 48, self.thresholds[2])
        if not len(boxes):
            return NOTHING
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        points = sides * points.reshape(-1, 2, 5).transpose(0, 2, 1) + boxes[:, None, :2] - 1
        boxes = _shifted(boxes, shift, 1)
        apart = _suppress_nested(boxes, scores, 0.7)
        return Found(boxes[apart], scores[apart], points[apart].astype(np.float32))

    def _propose(self, sums: _Sums, height: int, width: int, smallest: int) -> Floats:
        """Square candidates (N, 4) from every size of the picture."""
        scale, found = CELL / smallest, []
        while min(height, width) * scale >= CELL:
            size = int(height * scale + 1), int(width * scale + 1)
            score, shift = self._first.run(None, {"pixels": sums.resized(*size)[None]})
            rows, columns = np.nonzero(score[0] >= self.thresholds[0])
            corners = (np.stack([columns, rows], axis=1) * STRIDE + 1).astype(np.float32)
            boxes = np.floor(np.hstack([corners, corners + CELL - 1]) / np.float32(scale))
            made = np.hstack([boxes, score[0, rows, columns][:, None], shift[0, :, rows, columns].reshape(-1, 4)])
            found.append(made[_suppress(boxes, made[:, 4], 0.5)])
            scale *= self.steps[min(size) <= SMALL]
        if not found:
            return NOTHING.boxes
        every = np.concatenate(found)
        every = every[_suppress(every[:, :4], every[:, 4], 0.7)]
        return _square(_shifted(every[:, :4], every[:, 5:], 0))

    def _judge(
        self, network: Any, sums: _Sums, boxes: Floats, side: int, threshold: float
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Candidates that a network believes: boxes (N, 4), scores (N,), corrections (N, 4), points (N, 10)."""
        kept, crops = sums.cut(boxes, side)
        if not len(crops):
            return NOTHING.boxes, NOTHING.scores, NOTHING.boxes, np.zeros((0, 10), np.float32)
        parts = [network.run(None, {"pixels": crops[i : i + AT_ONCE]}) for i in range(0, len(crops), AT_ONCE)]
        score, shift, *points = (np.concatenate(p) for p in zip(*parts, strict=True))
        sure = score > threshold
        return boxes[kept][sure], score[sure], shift[sure], points[0][sure] if points else shift[sure]


class _Sums:
    """A picture's table of sums (cv2.integral): means over any rectangles of whole pixels, as torch's "area" takes."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.height, self.width = image.shape[:2]
        # 32 bits may run over in the table of a large picture; differences of its entries come out right all the same
        self._table = cv2.integral(np.ascontiguousarray(image), sdepth=cv2.CV_32S)

    def resized(self, height: int, width: int) -> Floats:
        """The whole picture as (height, width, 3) float32."""
        top, bottom = _edges(np.array([0]), np.array([self.height]), height)
        left, right = _edges(np.array([0]), np.array([self.width]), width)
        return self._means(top, bottom, left, right)[0]

    def cut(self, boxes: Floats, side: int) -> tuple[NDArray[np.bool_], Floats]:
        """Which of the boxes (N, 4) meet the picture, and those parts of it as (M, side, side, 3) float32."""
        whole = np.trunc(boxes).astype(np.int64)
        left, top = np.maximum(whole[:, 0], 1) - 1, np.maximum(whole[:, 1], 1) - 1
        right, bottom = np.minimum(whole[:, 2], self.width), np.minimum(whole[:, 3], self.height)
        kept = (right > left) & (bottom > top)
        rows = _edges(top[kept], bottom[kept], side)
        return kept, self._means(*rows, *_edges(left[kept], right[kept], side))

    def _means(self, top: Any, bottom: Any, left: Any, right: Any) -> Floats:
        """Means over rows top:bottom (N, h) and columns left:right (N, w) → (N, h, w, 3)."""
        table, (y0, y1), (x0, x1) = self._table, (top[:, :, None], bottom[:, :, None]), (left[:, None], right[:, None])
        sums = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
        return (sums / ((y1 - y0) * (x1 - x0))[..., None]).astype(np.float32)


def _edges(first: NDArray[np.int64], end: NDArray[np.int64], count: int) -> tuple[Any, Any]:
    """Where each of `count` cells between `first` and `end` (N,) begins and ends, whole pixels: two (N, count)."""
    cells, length = np.arange(count), (end - first)[:, None]
    return first[:, None] + cells * length // count, first[:, None] - (-(cells + 1) * length // count)


def _shifted(boxes: Floats, shift: Floats, pixel: int) -> Floats:
    """Boxes (N, 4) moved by a network's corrections, shares of their sides (counted with `pixel` more)."""
    sides = boxes[:, 2:] - boxes[:, :2] + pixel
    return boxes + shift * np.hstack([sides, sides])


def _square(boxes: Floats) -> Floats:
    """The squares around the same centres with the longer sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return np.hstack([corner, corner + longer])


def _suppress(boxes: Floats, scores: Floats, overlap: float) -> NDArray[np.intp]:
    """`suppress` for boxes (N, 4) left, top, right, bottom."""
    return suppress(np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]), scores, overlap)


def _suppress_nested(boxes: Floats, scores: Floats, overlap: float) -> list[int]:
    """The same by intersection over the smaller of two boxes: a box within a box goes."""
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    left, kept = np.argsort(scores), []
    while len(left):
        best, left = int(left[-1]), left[:-1]
        kept.append(best)
        corner = np.minimum(boxes[best, 2:], boxes[left, 2:]) - np.maximum(boxes[best, :2], boxes[left, :2])
        shared = np.maximum(0, corner + 1).prod(axis=1)
        left = left[shared / np.minimum(areas[best], areas[left]) <= overlap]
    return kept
