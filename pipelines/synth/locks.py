"""Locks of hair → pixels: ribbons with the fine hairs of a noise tile across them, frayed at their edges and tips.

A head has a hundred thousand hairs and a picture a hundred pixels for them. What is seen are locks: each is drawn as
a ribbon whose pixels look up which of its hairs lie there, how bright those are, and how many of them reach this far.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.noise import STEP, byte_tiles

Floats = NDArray[np.float32]
_HAIRS = 1.6  # texels of the tile, whose hairs are two wide, for a pixel across a lock: as fine as pixels can show
_ALONG = 0.9  # texels for a pixel along it
_FRAY = 0.55  # how much earlier the shorter hairs of a lock end, in opacity
_RAGGED = 0.75  # what its edge loses
_BEHIND = 0.7  # cm
_LEAST = 0.02  # of a pixel: less is not seen


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def behind(depth: Any, point: Any, margin: float) -> bool:
    """Whether a point (x, y in pixels, depth) lies in the picture and further than `margin` cm behind what is seen."""
    x, y = int(point[0] + 0.5), int(point[1] + 0.5)
    inside = x >= 0 and y >= 0 and y < depth.shape[0] and x < depth.shape[1]
    return inside and depth[y, x] > point[2] + margin  # type: ignore[no-any-return]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _draw(  # noqa: PLR0913 - a kernel takes plain arrays
    image: Any, covered: Any, depth: Any, points: Any, colours: Any, widths: Any, body: Any, starts: Any, tile: Any,
    step: float, grain: float, bias: float, order: Any,
) -> None:  # fmt: skip
    height, width = depth.shape
    nodes = points.shape[1]
    for index in range(order.shape[0]):
        s = order[index]
        run = 0.0  # pixels along the lock
        for node in range(nodes - 1):
            x0, y0, z0 = points[s, node, 0], points[s, node, 1], points[s, node, 2]
            x1, y1, z1 = points[s, node + 1, 0], points[s, node + 1, 1], points[s, node + 1, 2]
            dx, dy = x1 - x0, y1 - y0
            before = run
            run += math.sqrt(dx * dx + dy * dy)
            half0, half1 = 0.5 * widths[s, node], 0.5 * widths[s, node + 1]
            thin0, thin1 = min(1.0, 2 * half0), min(1.0, 2 * half1)  # narrower than a pixel: it covers less of it
            half0, half1 = max(half0, 0.5), max(half1, 0.5)
            wide = max(half0, half1)
            if behind(depth, points[s, node], _BEHIND) and behind(depth, points[s, node + 1], _BEHIND):
                continue  # at the far side of the head
            if max(x0, x1) < -wide or min(x0, x1) > width + wide or max(y0, y1) < -wide or min(y0, y1) > height + wide:
                continue
            steep = abs(dy) > abs(dx)
            if steep:
                a0, c0, along, across, limit_a, limit_c = y0, x0, dy, dx, height, width
            else:
                a0, c0, along, across, limit_a, limit_c = x0, y0, dx, dy, width, height
            if abs(along) < 1e-4:
                continue
            slope = across / along
            tilt = math.sqrt(1 + slope * slope)
            r0, g0, b0 = colours[s, node, 0], colours[s, node, 1], colours[s, node, 2]
            dr, dg, db = colours[s, node + 1, 0] - r0, colours[s, node + 1, 1] - g0, colours[s, node + 1, 2] - b0
            body0, more = body[node], body[node + 1] - body[node]
            low, high = min(a0, a0 + along), max(a0, a0 + along)
            for a in range(max(0, math.ceil(low)), min(limit_a - 1, math.ceil(high) - 1) + 1):
                share = (a - a0) / along
                middle = c0 + (a - a0) * slope
                reach = (half0 + share * (half1 - half0)) * tilt
                thin = thin0 + share * (thin1 - thin0)
                thick = body0 + share * more
                z = z0 + share * (z1 - z0) + bias
                row = (int((before + share * (run - before)) * _ALONG) + starts[s, 0]) & 511
                red, green, blue = r0 + share * dr, g0 + share * dg, b0 + share * db
                texels, inverse = _HAIRS / tilt, 1.0 / reach
                left, right = math.ceil(middle - reach - 0.5), math.floor(middle + reach + 0.5)
                for c in range(max(0, left), min(limit_c - 1, right) + 1):
                    y, x = (a, c) if steep else (c, a)
                    if z < depth[y, x]:
                        continue
                    aside = c - middle
                    hair = tile[row, (int(aside * texels + 256.0) + starts[s, 1]) & 511] * step
                    edge = aside * inverse
                    edge *= edge
                    amount = min(1.0, thick + _FRAY * hair - _RAGGED * edge * edge)
                    amount *= thin * min(1.0, reach + 0.5 - abs(aside))
                    if amount <= _LEAST:
                        continue
                    tone = 1 + grain * hair
                    image[y, x, 0] += amount * (red * tone - image[y, x, 0])
                    image[y, x, 1] += amount * (green * tone - image[y, x, 1])
                    image[y, x, 2] += amount * (blue * tone - image[y, x, 2])
                    covered[y, x] += amount * (1 - covered[y, x])


def draw_locks(
    image: Floats, depth: Floats, points: Floats, colours: Floats, widths: Floats, body: Floats,
    starts: NDArray[np.int64], grain: float, bias: float,
) -> Floats:  # fmt: skip
    """Draws locks into a picture, far ones first, in place.

    Args:
        image: (H, W, 3) float32 linear RGB.
        depth: (H, W) of what hides them, greater is nearer, as `raster.rasterise` gives it.
        points: (N, K, 3) x, y in pixels, and depth, from root to tip.
        colours: (N, K, 3) linear RGB.
        widths: (N, K) pixels.
        body: (K,) how dense locks are along their length: 1 and more is closed, below 0 no hair is left.
        starts: (N, 2) where on the tile each one's hairs lie.
        grain: how much brighter and darker single hairs are than their lock.
        bias: cm that locks are drawn nearer than they are.

    Returns:
        (H, W) how much of each pixel they cover, 0 to 1.
    """
    covered = np.zeros(depth.shape, np.float32)
    order = np.argsort(points[:, points.shape[1] // 2, 2], kind="stable")
    _draw(
        image, covered, depth, points, colours, widths, body, starts, byte_tiles()[3], np.float32(STEP),
        np.float32(grain), np.float32(bias), order,
    )  # fmt: skip
    return covered
