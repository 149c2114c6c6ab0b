"""Wu, Peng and Yu's YuNet (https://doi.org/10.1007/s11633-023-1423-y) in onnxruntime: one small network that looks at a
whole picture at once.

The weights are libfacedetection.train's `yunet_n_dynamic.onnx` as they are. OpenCV has the same network as
`cv2.FaceDetectorYN`; onnxruntime is twice as quick with it, asks for no thread pool of its own, and takes any size. The
boxes are the same (tests/pipelines/faces/test_faces_detect.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.faces.detector_network import load, suppress

WEIGHTS = "yunet.onnx"  # beside this file
STRIDES = (8, 16, 32)
OVERLAP = 0.3  # of two boxes of one face
Floats = NDArray[np.float32]


class Network:
    """The network, loaded. Not for several threads at once.

    Args:
        threads: CPU threads.
    """

    def __init__(self, threads: int = 1) -> None:
        self._session = load("yunet", threads, WEIGHTS)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def detect(self, image: NDArray[np.uint8], threshold: float) -> tuple[Floats, Floats, Floats]:
        """The faces of (H, W, 3) uint8 RGB, of some 10 to 300 pixels, in no order: boxes (N, 4) float32 left, top,
        width, height, scores (N,) of `threshold` or more, points (N, 5, 2), scheme "five"; pixels."""
        height, width = image.shape[:2]
        down, across = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in (height, width))
        pixels = np.zeros((1, 3, down, across), np.float32)
        pixels[0, :, :height, :width] = image[..., ::-1].transpose(2, 0, 1)  # it has learnt from BGR
        said = dict(zip(self._outputs, self._session.run(None, {"input": pixels}), strict=True))
        return joined([self._of_stride(said, stride, across // stride, threshold) for stride in STRIDES])

    @staticmethod
    def _of_stride(
        said: dict[str, Floats], stride: int, columns: int, threshold: float
    ) -> tuple[Floats, Floats, Floats]:
        """The cells of one stride that are sure enough, as `detect` gives them."""
        is_face, is_object = (np.clip(said[f"{name}_{stride}"][0, :, 0], 0, 1) for name in ("cls", "obj"))
        score = np.sqrt(is_face * is_object)
        sure = np.flatnonzero(score >= threshold)
        cell = np.stack([sure % columns, sure // columns], axis=1)
        shape, points = said[f"bbox_{stride}"][0, sure], said[f"kps_{stride}"][0, sure].reshape(-1, 5, 2)
        size = np.exp(shape[:, 2:]) * stride
        boxes = np.hstack([(cell + shape[:, :2]) * stride - size / 2, size])
        return boxes.astype(np.float32), score[sure], ((points + cell[:, None]) * stride).astype(np.float32)


def joined(parts: list[tuple[Floats, Floats, Floats]]) -> tuple[Floats, Floats, Floats]:
    """Boxes, scores and points of several looks at one picture, each face once."""
    boxes, scores, points = (np.concatenate(each) for each in zip(*parts, strict=True))
    kept = suppress(boxes, scores, OVERLAP)
    return boxes[kept], scores[kept], points[kept]
