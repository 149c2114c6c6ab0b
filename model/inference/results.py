"""What is found in a picture: faces with their points, and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.draw import draw_landmarks


@dataclass(frozen=True)
class Face:
    """One face of a picture.

    Attributes:
        points: (K, 2) float32, source pixels; the centre of the picture's first pixel is (0, 0).
        confidence: (K,) float32 in [0, 1]: the chance that a point lies within 3 % of the crop's side of the truth,
            as the network itself judges; all 1 for a network that does not judge.
        box: the face, source pixels: tight around the points it was cropped by; of a face that was followed upright, a
            square about the same centre.
        scheme: the numbering of the points, a key of `fakeit.pipelines.landmarks.SCHEMES`.
        visibility: (K,) float32 in [0, 1]: the chance of each point's being visible; None where the network does not
            say.
        dense: (400, 2) float32, source pixels: the places of `fakeit.pipelines.dense_points`; None where the network
            does not give them.
        log_sigma: (K,) what the network itself gives, in its own scheme: log σ in crop sides, or None.
    """

    points: NDArray[np.float32]
    confidence: NDArray[np.float32]
    box: Box
    scheme: str
    visibility: NDArray[np.float32] | None = None
    dense: NDArray[np.float32] | None = None
    log_sigma: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ImageResult:
    """The faces of one picture or video frame.

    Attributes:
        image: its name.
        faces: may be none.
        width, height: pixels; 0 where the picture could not be read.
        problem: why it could not be read, else "".
    """

    image: str
    faces: Sequence[Face]
    width: int = 0
    height: int = 0
    problem: str = ""


def draw_faces(pixels: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Every face's points onto (H, W, 3) uint8 RGB, coloured by confidence; drawn in place and returned."""
    for face in faces:
        pixels = draw_landmarks(pixels, face.points, face.scheme, confidence=face.confidence)
    return pixels
