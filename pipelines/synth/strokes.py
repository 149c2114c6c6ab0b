"""Thin lines with depth → pixels: the anti-aliased rasteriser that hair, beards, brows and lashes are drawn by.

Lines are drawn one over another in the order given (far ones first), each tested against the depth of the mesh; what
they cover is counted, so that a class and a shadow can follow from it.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _draw(
    image: Any,
    covered: Any,
    depth: Any,
    points: Any,
    colours: Any,
    widths: Any,
    opacity: float,
    bias: float,
    order: Any,
) -> None:
    height, width = depth.shape
    count, nodes = points.shape[0], points.shape[1]
    for index in range(count):
        s = order[index]
        for node in range(nodes - 1):
            x0, y0, z0 = points[s, node, 0], points[s, node, 1], points[s, node, 2]
            x1, y1, z1 = points[s, node + 1, 0], points[s, node + 1, 1], points[s, node + 1, 2]
            half = 0.5 * widths[s] * (1.0 if node < nodes - 2 else 0.7)
            thin = min(1.0, 2 * half) * opacity  # a line narrower than a pixel covers less of it
            half = max(half, 0.5)
            if max(x0, x1) < -half or min(x0, x1) > width + half or max(y0, y1) < -half or min(y0, y1) > height + half:
                continue
            steep = abs(y1 - y0) > abs(x1 - x0)
            if steep:
                a0, c0, a1, c1, limit_a, limit_c = y0, x0, y1, x1, height, width
            else:
                a0, c0, a1, c1, limit_a, limit_c = x0, y0, x1, y1, width, height
            along = a1 - a0
            if abs(along) < 1e-4:
                continue
            slope = (c1 - c0) / along
            r0, g0, b0 = colours[s, node, 0], colours[s, node, 1], colours[s, node, 2]
            dr, dg, db = colours[s, node + 1, 0] - r0, colours[s, node + 1, 1] - g0, colours[s, node + 1, 2] - b0
            reach = half * math.sqrt(1 + slope * slope)  # across, measured along the other axis
            low, high = min(a0, a1), max(a0, a1)
            first, last = max(0, math.ceil(low)), min(limit_a - 1, math.ceil(high) - 1)
            for a in range(first, last + 1):
                share = (a - a0) / along
                middle = c0 + (a - a0) * slope
                z = z0 + share * (z1 - z0) + bias
                left, right = math.ceil(middle - reach - 0.5), math.floor(middle + reach + 0.5)
                for c in range(max(0, left), min(limit_c - 1, right) + 1):
                    amount = thin * min(1.0, reach + 0.5 - abs(c - middle))
                    y, x = (a, c) if steep else (c, a)
                    if amount <= 0 or z < depth[y, x]:
                        continue
                    image[y, x, 0] += amount * (r0 + share * dr - image[y, x, 0])
                    image[y, x, 1] += amount * (g0 + share * dg - image[y, x, 1])
                    image[y, x, 2] += amount * (b0 + share * db - image[y, x, 2])
                    covered[y, x] += amount * (1 - covered[y, x])


def draw_strokes(
    image: Floats, depth: Floats, points: Floats, colours: Floats, widths: Floats, opacity: float, bias: float
) -> Floats:
    """Draws lines into a picture, in place.

    Args:
        image: (H, W, 3) float32 linear RGB.
        depth: (H, W) of what hides them, greater is nearer, as `raster.rasterise` gives it.
        points: (N, K, 3) x, y in pixels, and depth.
        colours: (N, K, 3) linear RGB.
        widths: (N,) pixels.
        opacity: of a line, 0 to 1.
        bias: cm that lines are drawn nearer than they are.

    Returns:
        (H, W) how much of each pixel they cover, 0 to 1.
    """
    covered = np.zeros(depth.shape, np.float32)
    order = np.argsort(points[:, points.shape[1] // 2, 2], kind="stable")
    _draw(image, covered, depth, points, colours, widths, np.float32(opacity), np.float32(bias), order)
    return covered
