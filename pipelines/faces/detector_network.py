"""What detectors that are networks have in common: weights that come with the code, and every face once."""

from __future__ import annotations

from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError


def load(detector: str, threads: int, *weights: str) -> Any:
    """An onnxruntime session of a file beside this one, for pictures that have each another size.

    Args:
        detector: its name, for the message.
        threads: CPU threads.
        weights: the file's path below this folder.

    Raises:
        FakeitError: the file is missing.
    """
    import onnxruntime

    path = resources.files(__package__ or "").joinpath(*weights)  # executors have this code as a zip
    if not path.is_file():
        raise FakeitError(f"detector {detector}: its weights {path} are missing; install fakeit again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def suppress(boxes: NDArray[np.floating], scores: NDArray[np.floating], overlap: float) -> NDArray[np.intp]:
    """Non-maximum suppression by intersection over union of boxes (N, 4) left, top, width, height: indices of what
    stays, best first."""
    if not len(boxes):
        return np.zeros(0, np.intp)
    return np.asarray(cv2.dnn.NMSBoxes(boxes.astype(np.float64), scores, 0.0, overlap), np.intp).ravel()
