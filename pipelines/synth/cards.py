"""Cards: triangles with an alpha picture, blended over what has been shaded where nothing lies before them."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_IN_FRONT = 0.12  # cm that a card may lie within the surface and still be seen: it stands on it


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _blend(
    points: Any, triangles: Any, uv: Any, alpha: Any, colour: Any, depth: Any, margin: float, image: Any
) -> None:
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        for y in range(max(0, math.ceil(min(y0, y1, y2))), min(height - 1, math.floor(max(y0, y1, y2))) + 1):
            for x in range(max(0, math.ceil(min(x0, x1, x2))), min(width - 1, math.floor(max(x0, x1, x2))) + 1):
                v = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
                w = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
                u = 1 - v - w
                if u < 0 or v < 0 or w < 0:
                    continue
                if u * points[i, 2] + v * points[j, 2] + w * points[k, 2] < depth[y, x] - margin:
                    continue
                tx = min(max(u * uv[t, 0, 0] + v * uv[t, 1, 0] + w * uv[t, 2, 0], 0.0), 0.999) * alpha.shape[1]
                ty = (1 - min(max(u * uv[t, 0, 1] + v * uv[t, 1, 1] + w * uv[t, 2, 1], 0.001), 1.0)) * alpha.shape[0]
                cover = alpha[int(ty), int(tx)]
                for a in range(3):
                    image[y, x, a] = image[y, x, a] * (1 - cover) + colour[a] * cover


def draw_cards(
    image: Floats,
    depth: Floats,
    points: Floats,
    triangles: NDArray[np.int32],
    uv: Floats,
    alpha: Floats,
    colour: Floats,
) -> None:
    """Blends cards over a picture, in place.

    Args:
        image: (H, W, 3) linear RGB.
        depth: (H, W), as `raster.rasterise` gives it.
        points: (V, 3) pixels and depth.
        triangles: (T, 3), seen from either side.
        uv: (T, 3, 2) in 0 to 1, v upwards.
        alpha: (h, w) float32 in 0 to 1.
        colour: (3,) linear RGB of what the cards show, lit.
    """
    _blend(points, triangles, uv, alpha, colour, depth, np.float32(_IN_FRONT), image)


def finer(alpha: NDArray[np.uint8], texels: float) -> Floats:
    """An alpha picture shrunk so that about one of its texels falls on a pixel, where `texels` of the full one do."""
    level = int(np.clip(np.floor(np.log2(max(texels, 1.0)) + 0.5), 0, 4))
    small = cv2.resize(alpha, None, fx=0.5**level, fy=0.5**level, interpolation=cv2.INTER_AREA) if level else alpha
    return np.asarray(small, np.float32) / 255
