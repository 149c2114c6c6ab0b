"""Arms that hang: MakeHuman's people hold theirs apart by 45 degrees, so that bodies are cones and a toddler's arms end
in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_JOINT = np.array([18.0, -20.5, -3.5])  # cm, the mean adult's shoulder at x > 0
_ALONG = np.array([0.73, -0.68])  # where the upper arm points to from there
_LOWERED = np.deg2rad(36.0)


@dataclass(frozen=True)
class Arms:
    """Both arms of a mesh of N vertices: how far a vertex goes with its arm (2, N), and of which vertices the shoulder
    that it turns about is the mean (2, N); at x > 0 first."""

    goes: Floats
    joint: Floats

    def hang(self, vertices: Floats) -> Floats:
        """Vertices (N, 3) with the arms turned down, blended linearly about the shoulder."""
        made = vertices.copy()
        for side, goes, joint in zip((1, -1), self.goes, self.joint, strict=True):
            arm = goes > 0
            out = vertices[arm, :2] - joint @ vertices[:, :2]
            c, s = np.cos(_LOWERED), -side * np.sin(_LOWERED)
            turned = out @ np.array([[c, s], [-s, c]], np.float32)
            made[arm, :2] += goes[arm, None] * (turned - out)
        return made


def find_arms(mean: Floats) -> Arms:
    """The arms of the mean adult (N, 3)."""
    goes, joint = [], []
    for side in (1, -1):
        at = mean * [side, 1, 1] - _JOINT
        along, across = (at[:, :2] @ axis for axis in (_ALONG, _ALONG[::-1] * [-1, 1]))
        goes.append(_smooth((along + 3) / 9) * _smooth((across + 12) / 4))
        near = np.exp(-(at**2).sum(axis=1) / (2 * 4.0**2))
        joint.append(near / near.sum())
    return Arms(np.array(goes, np.float32), np.array(joint, np.float32))


def _smooth(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
