"""How eyes and teeth lie behind lids and lips: shadow of the lid above and its lashes, pink corners, a wet lower edge.

A pass over the pixels that are eye or mouth: how far each lies from the lids is counted along the picture.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.camera import Camera
from fakeit.pipelines.synth.light import Lighting

Floats = NDArray[np.float32]
LEFT_EYE, RIGHT_EYE, MOUTH = 4, 3, 9  # classes; left is the viewer's
_FAR = 0.8  # cm: further away no lid darkens anything


def set_in_lids(image: Floats, classes: NDArray[np.uint8], camera: Camera, lighting: Lighting) -> None:
    """Shades eyes and mouths by the lids and lips about them, in place.

    Args:
        image: (H, W, 3) linear RGB of the head.
        classes: (H, W) of the head, before anything is laid over it.
        camera: that sees it.
        lighting: whose light from above the wet edge mirrors.
    """
    up = np.array([camera.turn[0, 1], -camera.turn[1, 1]], np.float32)
    up /= np.linalg.norm(up) + 1e-6
    above = np.maximum(lighting.harmonics[0] + lighting.harmonics[1], 0) + 0.3 * lighting.colours[0]
    _set_in(image, classes, up[0], up[1], np.float32(camera.scale), above.astype(np.float32))


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _steps(classes: Any, part: int, x: int, y: int, dx: float, dy: float, most: int) -> int:
    """Pixels from here to the first of another class that way, at most so many."""
    for step in range(1, most):
        column, row = int(x + step * dx + 0.5), int(y + step * dy + 0.5)
        if row < 0 or column < 0 or row >= classes.shape[0] or column >= classes.shape[1]:
            return most
        if classes[row, column] != part:
            return step
    return most


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _set_in(image: Any, classes: Any, up_x: float, up_y: float, scale: float, above: Any) -> None:
    most = int(_FAR * scale) + 2
    for y in range(classes.shape[0]):
        for x in range(classes.shape[1]):
            part = classes[y, x]
            if part != LEFT_EYE and part != RIGHT_EYE and part != MOUTH:
                continue
            high = (_steps(classes, part, x, y, up_x, up_y, most) - 0.5) / scale
            left = (_steps(classes, part, x, y, up_y, -up_x, most) - 0.5) / scale
            right = (_steps(classes, part, x, y, -up_y, up_x, most) - 0.5) / scale
            aside = min(left, right)
            if part == MOUTH:
                dark = (1 - 0.6 * math.exp(-high / 0.22)) * (1 - 0.5 * math.exp(-aside / 0.5))
                for a in range(3):
                    image[y, x, a] *= dark
                continue
            low = (_steps(classes, part, x, y, -up_x, -up_y, most) - 0.5) / scale
            inner = right if part == LEFT_EYE else left
            dark = (1 - 0.4 * math.exp(-high / 0.13)) * (1 - 0.2 * math.exp(-aside / 0.14))
            dark *= 1 - 0.15 * math.exp(-low / 0.06)
            red = 0.3 * math.exp(-aside / 0.22) + 0.25 * math.exp(-inner / 0.16) + 0.12 * math.exp(-low / 0.07)
            wet = 0.07 * max(0.0, 1 - low / 0.1) * min(1.0, aside / 0.3)
            image[y, x, 0] = image[y, x, 0] * dark + wet * above[0]
            image[y, x, 1] = image[y, x, 1] * dark * (1 - 0.75 * red) + wet * above[1]
            image[y, x, 2] = image[y, x, 2] * dark * (1 - 0.8 * red) + wet * above[2]
