"""What is painted on a head: lips, brows, beard, blush, shadows around the eyes, as layers in the canonical frame.

The layers are small pictures of the face seen straight from the front (canonical x, y in cm); the shader looks them up
for every pixel. On a head without eyeballs and teeth, eyes and mouth are layers too.
"""

from __future__ import annotations

from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.brows import Brows
from fakeit.pipelines.synth.config import SkinConfig
from fakeit.pipelines.synth.head import Head

Floats = NDArray[np.float32]
SIDE, REACH = 256, 13.0  # texels, and the cm from the middle to an edge
_BITS = 4


class Layer(IntEnum):
    """What is painted on a head, as layers over its vertices."""

    LIPS = 0
    BROWS = 1
    BEARD = 2
    BLUSH = 3
    SOCKET = 4
    NOSE = 5
    EYES = 6
    MOUTH = 7
    LASHES = 8


def to_texels(points: Floats) -> Floats:
    """Canonical (…, ≥2) cm → texels (…, 2)."""
    scale = SIDE / (2 * REACH)
    return np.stack([(points[..., 0] + REACH) * scale, (REACH - points[..., 1]) * scale], axis=-1)


def _polygon(points: Floats, blur: float = 0.0) -> Floats:
    layer = np.zeros((SIDE, SIDE), np.float32)
    fixed = np.rint(points * (1 << _BITS)).astype(np.int32)
    cv2.fillPoly(layer, [fixed], 1.0, cv2.LINE_AA, _BITS)
    return _soft(layer, blur)


def _soft(layer: Floats, blur: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), blur), np.float32) if blur > 0 else layer


def _brows(points: Floats, random: np.random.Generator) -> Floats:
    """Two bows of strokes under the brow points, thick inside, thin outside."""
    layer = np.zeros((SIDE, SIDE), np.float32)
    thickness = random.uniform(1.2, 4.4)
    drop = thickness * 0.35 + random.uniform(-0.6, 0.9)
    widths = thickness * np.array([0.55, 0.85, 1.0, 0.9])
    for bow in (points[:5], points[:4:-1]):  # both from the outer end inwards
        line = np.rint((bow + [0, drop]) * (1 << _BITS)).astype(int)
        for start, end, width in zip(line[:-1], line[1:], widths, strict=True):
            cv2.line(layer, start.tolist(), end.tolist(), 1.0, max(1, round(width)), cv2.LINE_AA, _BITS)
    return _soft(layer, random.uniform(0.4, 1.1))


def _lashes(points: Floats, random: np.random.Generator) -> Floats:
    """A dark line along the upper lids, a faint one along the lower."""
    layer = np.zeros((SIDE, SIDE), np.float32)
    upper, lower = random.uniform(0.3, 1), random.uniform(0, 0.4)
    lids = {(36, 37, 38, 39): upper, (42, 43, 44, 45): upper, (36, 41, 40, 39): lower, (42, 47, 46, 45): lower}
    for lid, strength in lids.items():
        line = np.rint(points[list(lid)] * (1 << _BITS)).astype(np.int32)
        cv2.polylines(layer, [line], False, strength, 1, cv2.LINE_AA, _BITS)
    return layer


def _beard(points: Floats, random: np.random.Generator) -> Floats:
    """Full beard, goatee or moustache; `points` (68, 2) texels."""
    jaw, mouth_left, mouth_right, base = points[:17], points[48], points[54], points[33]
    kind = random.random()
    if kind < 0.5:
        ear = base[1] + random.uniform(0, 15)
        middle = [mouth_right + [5, -4], base + [5, 2.5], base + [-5, 2.5], mouth_left + [-5, -4]]
        outline = [*(jaw[2:15] + [0, 3]), [jaw[14, 0] - 4, ear], *middle, [jaw[2, 0] + 4, ear]]
    elif kind < 0.75:
        right = [mouth_right + [6, 0], mouth_right + [3, -5], base + [4, 2]]
        left = [base + [-4, 2], mouth_left + [-3, -5], mouth_left + [-6, 0]]
        outline = [*(jaw[6:11] + [0, 4]), *right, *left]
    else:
        left = [mouth_left + [-4, 2], mouth_left + [-2, -4], base + [-4, 2.5]]
        outline = [*left, base + [4, 2.5], mouth_right + [2, -4], mouth_right + [4, 2], points[51]]
    return _polygon(np.array(outline, np.float32), random.uniform(1, 3))


def paint(head: Head, brows: Brows, config: SkinConfig, random: np.random.Generator, bearded: float = 1.0) -> Floats:
    """The layers of one face.

    Args:
        head: whose canonical points guide the brush.
        brows: where they lie.
        config: shares of beard and make-up.
        random: the skin's own stream.
        bearded: what the share of beards is multiplied by: women and children have none.

    Returns:
        (SIDE, SIDE, 9) float32 in [0, 1], one plane a `Layer`.
    """
    canonical = head.canonical[head.landmarks[:68]].copy()
    canonical[17:27] = brows.at(canonical[17:27])
    points = to_texels(canonical)
    layers = np.zeros((SIDE, SIDE, len(Layer)), np.float32)
    shaky = points + random.normal(0, 0.25, points.shape)
    lips = _polygon(shaky[48:60], 0.6)
    layers[..., Layer.BROWS] = _brows(points[17:27], random)
    if random.random() < config.beard * bearded:
        layers[..., Layer.BEARD] = _beard(shaky, random) * (1 - lips) * random.uniform(0.15, 1)
    blush = np.zeros((SIDE, SIDE), np.float32)
    for jaw, nostril in ((2, 31), (14, 35)):
        cheek = (points[jaw] + 1.2 * points[nostril]) / 2.2
        cv2.circle(blush, np.rint(cheek).astype(int).tolist(), 11, 1.0, -1)
    cv2.circle(blush, np.rint(points[30]).astype(int).tolist(), 8, 0.8, -1)
    small = _soft(np.asarray(cv2.resize(blush, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)), 1.75)
    layers[..., Layer.BLUSH] = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    eyes = np.maximum(_polygon(points[36:42]), _polygon(points[42:48]))
    layers[..., Layer.SOCKET] = _soft(eyes, random.uniform(1, 4.5)) * random.uniform(0, 0.7)
    layers[..., Layer.LASHES] = _lashes(points, random)
    nose = [points[27] + [-3, 0], points[31] + [-4, 1], points[33] + [0, 1], points[35] + [4, 1], points[27] + [3, 0]]
    layers[..., Layer.NOSE] = _polygon(np.array(nose, np.float32))
    if head.painted:
        layers[..., Layer.EYES] = eyes
        layers[..., Layer.MOUTH] = _polygon(points[60:68])
        lips = lips * (1 - layers[..., Layer.MOUTH])
    layers[..., Layer.LIPS] = lips
    if head.uv is not None:  # its skin has brows and lips already; what is drawn comes from the make-up bag
        layers[..., Layer.BROWS] = 0
        layers[..., Layer.SOCKET] *= 0.4
        layers[..., Layer.LASHES] *= 0.35
    return layers
