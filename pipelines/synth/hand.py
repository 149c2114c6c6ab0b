"""A hand before the face: forearm, palm, thumb and four fingers of three joints, each part a chain of tapering discs.

Measures are an adult's in centimetres (Greiner 1991, hand anthropometry: breadth 8.5, length 19, middle finger 8).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.noise import SIDE, tiles

Floats = NDArray[np.float32]
Chain = list[tuple[float, float, float]]  # x, y, radius of its discs, cm; the wrist is the origin, fingers point to +y

_ROOTS = ((-3.1, 8.6), (-1.05, 9.3), (1.0, 9.2), (2.95, 8.3))  # of the fingers, index first
_LENGTHS = (7.0, 7.9, 7.3, 5.8)
_RADII = (0.88, 0.9, 0.86, 0.76)
_BONES = ((0.46, 0.98), (0.3, 0.92), (0.24, 0.78))  # of a finger: shares of its length, of its radius at their ends
_SUNK = 1.2  # cm of a finger that lie within the palm
_FAN = (-0.14, -0.03, 0.07, 0.2)  # radians
_CURLED = ((0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1))  # fingers drawn in, seen from the back
_SHARES = (0.5, 0.2, 0.14, 0.1, 0.06)
_BITS = 3


def draw_hand(image: Floats, at: Floats, scale: float, skin: Floats, random: np.random.Generator) -> NDArray[np.bool_]:
    """Draws a hand, in place.

    Args:
        image: (H, W, 3) linear RGB.
        at: (2,) where the knuckles are to be, pixels.
        scale: pixels a centimetre.
        skin: (3,) its colour, lit.
        random: the accessories' stream.

    Returns:
        (H, W) where the hand is.
    """
    back = random.random() < 0.6  # of the hand, with nails; else its palm
    parts = _parts(random)
    turn = random.uniform(-1.0, 1.0)
    mirrored = 1.0 if random.random() < 0.5 else -1.0
    size = random.uniform(0.85, 1.15) * scale
    axes = np.array([[mirrored * np.cos(turn), np.sin(turn)], [mirrored * np.sin(turn), -np.cos(turn)]])
    origin = np.asarray(at, float) - axes @ np.array([0.0, random.uniform(8.0, 13.0)]) * size
    light = random.normal(0, 0.45, 2)
    placed = [[(*(origin + axes @ np.array([x, y]) * size), r * size) for x, y, r in part] for part in parts]
    reach = np.array([[x + s * r, y + s * r] for part in placed for x, y, r in part for s in (-1, 1)])
    low = np.maximum(np.floor(reach.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(reach.max(axis=0)).astype(int) + 3, image.shape[1::-1])
    seen = np.zeros(image.shape[:2], bool)
    if (low >= high).any():
        return seen
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    picture = image[window]
    local = [[(x - low[0], y - low[1], r) for x, y, r in part] for part in placed]
    shapes = [_filled(part, picture.shape[:2]) for part in local]
    whole = np.maximum.reduce(shapes)
    shadow = cv2.GaussianBlur(whole, (0, 0), max(0.5 * size, 1.0)).astype(np.float32) / 255
    picture *= (1 - 0.45 * shadow)[..., None]  # of the hand on what is behind it
    lit = np.maximum(skin, 0.0) * random.uniform(0.9, 1.12)
    for part, shape in zip(local, shapes, strict=True):
        _paint(picture, shape, part[-1][2], lit, light)
    _, *fingers, _, thumb = local
    for digit in (*fingers, thumb):
        _joints(picture, digit, lit)
        if back:
            _nail(picture, digit, lit)
    seen[window] = whole > 127
    return seen


def _parts(random: np.random.Generator) -> list[Chain]:
    """Forearm, fingers, palm and thumb, in the order they are drawn."""
    spread, bend = random.uniform(0.2, 1.6), random.uniform(0.6, 1.0)
    palm: Chain = [
        (-1.6, 1.6, 1.9), (-2.4, 7.6, 1.75), (0.0, 8.0, 1.8), (0.0, 4.6, 2.6), (2.3, 7.2, 1.7), (1.9, 1.6, 1.9),
        (-1.6, 1.6, 1.9),
    ]  # fmt: skip
    forearm: Chain = [(0.2, -22.0, 4.2), (0.1, -6.0, 3.2), (0.1, 0.4, 2.75)]
    away = 0.35 + 0.35 * spread + random.normal(0, 0.1)
    root, tip = np.array([-2.3, 2.6]), np.array([-np.sin(away), np.cos(away)])
    over = np.array([-np.sin(away - 0.25), np.cos(away - 0.25)])
    knuckle = root + 4.3 * tip
    end = knuckle + 3.0 * over
    thumb: Chain = [(*root, 1.5), (*knuckle, 1.05), (*(knuckle + 1.6 * over), 1.0), (*end, 0.8)]
    fingers = []
    curled = _CURLED[int(random.choice(len(_CURLED), p=_SHARES))]
    for (x, y), length, radius, fan, bent in zip(_ROOTS, _LENGTHS, _RADII, _FAN, curled, strict=True):
        angle = fan * spread + random.normal(0, 0.04)
        shorter = bend * random.uniform(0.85, 1.0) * (0.36 if bent else 1.0)
        place, sunk = np.array([x, y - _SUNK]), _SUNK
        chain: Chain = [(*place, radius * 1.1)]
        for share, taper in _BONES:
            angle += random.normal(0, 0.035)
            place = place + np.array([np.sin(angle), np.cos(angle)]) * (share * length * shorter + sunk)
            chain.append((*place, radius * taper))
            sunk = 0.0
        fingers.append(chain)
    return [forearm, *fingers, palm, thumb]


def _filled(chain: Chain, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(H, W) uint8, 255 within the hulls of neighbouring discs; smooth edges."""
    mask = np.zeros(shape, np.uint8)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    discs = [np.array([x, y]) + r * ring for x, y, r in chain]
    for pair in zip(discs, discs[1:], strict=False):
        outline = cv2.convexHull(np.concatenate(pair).astype(np.float32))[:, 0]
        cv2.fillConvexPoly(mask, np.rint(outline * (1 << _BITS)).astype(np.int32), 255, cv2.LINE_AA, _BITS)
    return mask


def _paint(picture: Floats, shape: NDArray[np.uint8], radius: float, skin: Floats, light: NDArray[np.floating]) -> None:
    """Lays one part over the picture, rounded within `radius` pixels of its edges, skin's blotches on it."""
    x, y, width, height = cv2.boundingRect(shape)
    if width == 0 or height == 0:
        return
    region, alpha = picture[y : y + height, x : x + width], shape[y : y + height, x : x + width]
    depth = cv2.distanceTransform(np.pad(alpha > 127, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    depth = cv2.GaussianBlur(np.minimum(depth / max(radius, 1.0), 1.0), (0, 0), max(0.15 * radius, 0.6))
    high = np.sqrt(np.clip(1 - (1 - depth) ** 2, 0.0, 1.0))
    slope_y, slope_x = np.gradient(high) if min(high.shape) > 1 else (high * 0, high * 0)
    tilt = (slope_x * light[0] + slope_y * light[1]) * max(radius, 1.0)
    shade = 0.42 + 0.62 * high - np.clip(tilt, -0.4, 0.4)
    if max(height, width) <= SIDE:
        grain, blotches = tiles()[:2, :height, :width]
        shade = shade * (1 + 0.05 * blotches + 0.03 * grain)
    blood = np.stack([0.06 * (1 - high), -0.05 * (1 - high), -0.06 * (1 - high)], axis=2)  # thin parts are redder
    laid = skin * shade[..., None] * (1 + blood)
    region += (laid.astype(np.float32) - region) * (alpha.astype(np.float32) / 255)[..., None]


def _joints(picture: Floats, finger: Chain, skin: Floats) -> None:
    """Two folds across each joint."""
    for (x0, y0, _), (x1, y1, radius) in zip(finger[:-2], finger[1:-1], strict=True):
        along = np.array([x1 - x0, y1 - y0]) / max(np.hypot(x1 - x0, y1 - y0), 1e-6)
        across = np.array([-along[1], along[0]]) * radius * 0.6
        for shift in (-0.22, 0.22):
            middle = np.array([x1, y1]) + along * shift * radius
            ends = [np.rint((middle + s * across) * (1 << _BITS)).astype(int).tolist() for s in (-1, 1)]
            width = max(1, round(0.12 * radius))
            cv2.line(picture, *ends, (skin * 0.62).tolist(), width, cv2.LINE_AA, _BITS)


def _nail(picture: Floats, finger: Chain, skin: Floats) -> None:
    (x0, y0, _), (x1, y1, radius) = finger[-2:]
    along = np.degrees(np.arctan2(y1 - y0, x1 - x0))
    centre = np.rint(np.array([x1, y1]) * (1 << _BITS)).astype(int).tolist()
    colour = np.minimum(skin * np.array([1.12, 1.05, 1.04]) + 0.03 * float(skin.max()), 1.0)
    for share, tone in ((1.0, 0.75), (0.86, 1.0)):
        axes = np.rint(np.array([0.72, 0.52]) * radius * share * (1 << _BITS)).astype(int).tolist()
        cv2.ellipse(picture, centre, axes, float(along), 0, 360, (colour * tone).tolist(), -1, cv2.LINE_AA, _BITS)
