"""Hair, lit, drawn in locks, and casting its shadow onto the face."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.camera import Camera
from fakeit.pipelines.synth.hair import HAIR_CLASS, Hair
from fakeit.pipelines.synth.light import Lighting
from fakeit.pipelines.synth.locks import behind, draw_locks
from fakeit.pipelines.synth.shade import ambient
from fakeit.pipelines.synth.strands import CENTRE, Grown

Floats = NDArray[np.float32]
_BEYOND = 40.0  # pixels out of the picture: nodes that no piece in sight hangs on need no light
_TIP = 5.0  # cm over which hair that was cut thins out, or three fifths of what is short
_FAR_BEHIND = 1.6  # cm behind what is seen, likewise


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _power(x: float, squarings: int) -> float:
    for _ in range(squarings):
        x *= x
    return x


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _light(
    seen: Any,
    points: Any,
    depth: Any,
    centre: Any,
    harmonics: Any,
    lamps: Any,
    lamp_colours: Any,
    tints: Any,
    under: Any,
    tilts: Any,
    shine: float,
    out: Any,
) -> None:
    """Colours (N, K, 3) of strands (N, K, 3), camera frame: Kajiya and Kay (1989) with the two highlights of Marschner
    et al. (2003), a white one towards the root and a coloured one towards the tip; and the surroundings' sheen."""
    n = np.zeros(3)
    t = np.zeros(3)
    r = np.zeros(3)
    height, width = depth.shape
    for s in range(seen.shape[0]):
        nodes = seen.shape[1]
        for k in range(nodes):
            x, y = points[s, k, 0], points[s, k, 1]
            outside = x < -_BEYOND or y < -_BEYOND or x > width + _BEYOND or y > height + _BEYOND
            if outside or behind(depth, points[s, k], _FAR_BEHIND):
                for a in range(3):
                    out[s, k, a] = 0.3 * tints[s, a] * harmonics[0, a]
                continue
            size, long = 0.0, 0.0
            before, after = max(0, k - 1), min(nodes - 1, k + 1)
            for a in range(3):
                n[a] = seen[s, k, a] - centre[a]
                t[a] = seen[s, after, a] - seen[s, before, a]
                size += n[a] * n[a]
                long += t[a] * t[a]
            size, long = math.sqrt(size) + 1e-6, math.sqrt(long) + 1e-6
            for a in range(3):
                n[a] = n[a] / size
                t[a] /= long
            open_ = under[s] * (0.45 + 0.55 * min(1.0, 2.5 * k / (nodes - 1)))
            lean, size = n[0] * t[0] + n[1] * t[1] + n[2] * t[2], 0.0
            for a in range(3):  # the hair's own side that faces outwards
                r[a] = n[a] - lean * t[a]
                size += r[a] * r[a]
            size = math.sqrt(size) + 1e-6
            for a in range(3):
                r[a] /= size
            sheen = shine * open_ * (0.25 + 0.75 * (1 - t[2] * t[2]) ** 2) * max(0.15, 0.6 + 0.4 * r[2])
            for a in range(3):
                around = max(0.02, ambient(harmonics, r[0], r[1], r[2], a))
                out[s, k, a] = (0.85 * tints[s, a] * open_ + 0.035 * sheen) * around
            for lamp in range(lamps.shape[0]):
                facing = n[0] * lamps[lamp, 0] + n[1] * lamps[lamp, 1] + n[2] * lamps[lamp, 2]
                shadowed = max(0.0, min(1.0, 0.35 + 0.8 * facing)) * open_
                across = t[0] * lamps[lamp, 0] + t[1] * lamps[lamp, 1] + t[2] * lamps[lamp, 2]
                hx, hy, hz = lamps[lamp, 0], lamps[lamp, 1], lamps[lamp, 2] + 1
                half = (t[0] * hx + t[1] * hy + t[2] * hz) / (math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-6)
                diffuse = math.sqrt(max(0.0, 1 - across * across))
                white = _power(max(0.0, 1 - (half - 0.08 - tilts[s]) ** 2), 6)
                tinted = _power(max(0.0, 1 - (half + 0.12 - tilts[s]) ** 2), 4)
                for a in range(3):
                    back = 0.09 * shine * white + (0.7 * shine * tinted + 0.75 * diffuse) * tints[s, a]
                    out[s, k, a] += shadowed * lamp_colours[lamp, a] * back


def draw_hair_strands(
    image: Floats, classes: NDArray[np.uint8], depth: Floats, grown: Grown, hair: Hair, camera: Camera,
    lighting: Lighting, random: np.random.Generator,
) -> Floats:  # fmt: skip
    """Lights and draws strands, in place; pixels that hair covers are hair's. Returns what they cover, (H, W)."""
    strands = grown.strands
    count, nodes = strands.shape[:2]
    if count == 0:
        return np.zeros(depth.shape, np.float32)
    seen = camera.to_camera(strands)
    centre = camera.to_camera(CENTRE[None])[0]
    tufts = int(grown.owner.max()) + 1
    strength = random.normal(0, 0.16, tufts)[grown.owner] + random.normal(0, 0.09, count)
    tints = hair.colour * np.exp(strength)[:, None]
    pale = np.clip(hair.grey + random.normal(0, 0.15, (count, 1)) * (hair.grey > 0), 0, 1)
    tints = (1 - pale) * tints + pale * (0.5 * tints + 0.14)
    tilts = (random.normal(0, 0.09, tufts)[grown.owner] + random.normal(0, 0.05, count)).astype(np.float32)
    shine = float(random.uniform(0.5, 1.4)) * (0.5 if hair.style is not None and hair.style.round else 1.0)
    points = camera.project(seen.reshape(-1, 3)).reshape(strands.shape)
    lit = np.empty_like(strands)
    _light(
        seen, points, depth, centre, lighting.harmonics, lighting.directions, lighting.colours,
        tints.astype(np.float32), 0.65 + 0.35 * grown.under, tilts, shine, lit,
    )  # fmt: skip
    share = np.linspace(0, 1, nodes, dtype=np.float32)
    longest = 1.0 if hair.style is None else max(hair.style.top, hair.style.sides, hair.style.back)
    tip = min(0.6, _TIP / longest)
    ending = np.maximum(0, share - 1 + tip) / tip
    taper = 0.45 + 0.55 * np.minimum(1, 5 * share) - 0.35 * ending
    out = np.linalg.norm(strands - CENTRE, axis=2)  # locks part as they leave the head, and widen as much
    parted = np.maximum(out / np.maximum(out[:, :1], 1.0), 1.0)
    widths = (grown.widths * camera.scale)[:, None] * taper[None] * parted
    body = 1.25 - 1.0 * ending - 0.45 * np.maximum(0, 0.15 - share) / 0.15
    grain = 0.22 * float(np.clip(camera.scale / 12, 0.35, 1))
    starts = random.integers(0, 512, (count, 2))
    covered = draw_locks(image, depth, points, lit, widths, body, starts, grain, 0.25)
    classes[covered > 0.5] = HAIR_CLASS
    return covered


def shadow_on_face(image: Floats, classes: NDArray[np.uint8], covered: Floats, lamp: Floats, scale: float) -> None:
    """Darkens the face beside the hair that lies over it, in place: below the fringe, away from the lamp.

    Args:
        image: (H, W, 3) linear.
        classes: (H, W) before hair was drawn.
        covered: (H, W) how much hair covers.
        lamp: (3,) towards the first lamp.
        scale: pixels a cm.
    """
    on_face = ((classes > 0) & (classes < 15)).astype(np.float32)
    x, y, width, height = cv2.boundingRect(on_face.astype(np.uint8))
    if width < 8 or height < 8:
        return
    part = np.s_[y : y + height, x : x + width]
    on_face, covered = on_face[part], covered[part]
    small = (max(width // 4, 2), max(height // 4, 2))
    over = cv2.resize(covered * on_face, small, interpolation=cv2.INTER_AREA)
    step = 0.7 * scale / 4
    move = np.array([[1, 0, -lamp[0] * step], [0, 1, (0.6 * lamp[1] + 0.5) * step]], np.float32)
    over = cv2.GaussianBlur(cv2.warpAffine(over, move, small), (0, 0), max(0.5 * step, 0.4))
    shadow = cv2.resize(over, (width, height), interpolation=cv2.INTER_LINEAR)
    shadow *= on_face
    shadow *= 1 - covered
    image[part] *= cv2.merge([1 - 0.5 * shadow] * 3)
